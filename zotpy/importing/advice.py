"""What a copy of repositories tells its user if the source gives less than is wanted: mostly a login is missing."""

from dataclasses import dataclass

from zotpy.upstream.errors import LoginRefused, NotAtUpstream


@dataclass(frozen=True, slots=True)
class Hints:
    """What to do about one source."""

    title: str = "the source"
    login: str = ""
    """How to give a login; empty: the source asks for none."""
    remedy: str = ""
    """How to do without the source's list of repositories."""
    has_login: bool = False

    def no_repositories(self, listed: int) -> str:
        """Say why no repository was copied, and what to do. The source lists `listed` repositories."""
        if listed:
            what = "1 repository" if listed == 1 else f"{listed} repositories"
            told = f"{self.title} lists {what}, and the names that are wanted fit none of them"
            return told if self.has_login or not self.login else f"{told}. It may list more to a login: {self.login}"
        if not self.login:
            return f"{self.title} has no repositories"
        if self.has_login:
            return (
                f"{self.title} lists no repositories for this login, which may need more rights there; or {self.remedy}"
            )
        return f"{self.title} lists no repositories to callers without a login: {self.login}, or {self.remedy}"

    def no_list(self, error: NotAtUpstream) -> str:
        """Say what to do as the source does not list its repositories."""
        if not self.remedy:
            return str(error)
        if not isinstance(error, LoginRefused):
            return f"{error}. To do without its list of repositories, {self.remedy}"
        if self.has_login:
            return (
                f"{error}. The login is wrong, or may not list repositories: give it this right there, or {self.remedy}"
            )
        return f"{error}. To list repositories, {self.login}; or {self.remedy}"

    def refused(self) -> str:
        """Say what to do as the source refuses something of a repository to this login, or to none."""
        if self.has_login:
            return (
                f"{self.title} refuses some of it to this login: check the password, the right to pull there, and the"
                " names of the repositories"
            )
        return f"{self.title} refuses some of it to callers without a login: {self.login}"
