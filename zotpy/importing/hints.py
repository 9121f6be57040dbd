"""What an import tells its user if it finds no repository: mostly a login is missing."""


def no_repositories(title: str, listed: int, login: str, *, has_login: bool, remedy: str) -> str:
    """Say why no repository of `title` was copied, and what to do. It lists `listed` repositories.

    `login` says how to give a login, and `remedy` how to do without the list.
    """
    if listed:
        what = "1 repository" if listed == 1 else f"{listed} repositories"
        told = f"{title} lists {what}, and the names that are wanted fit none of them"
        return told if has_login else f"{told}. It may list more to a login: {login}"
    if has_login:
        return f"{title} lists no repositories for this login, which may need more rights there; or {remedy}"
    return f"{title} lists no repositories to callers without a login: {login}, or {remedy}"
