"""Logins at upstreams that last minutes or hours: from AWS, from Google, or from an OAuth2 service."""
