"""The server's side: connections of clients, their requests, bodies and answers."""
