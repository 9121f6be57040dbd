"""What zotpy relies on in HTTP libraries beyond their documented interfaces.

That is everything that `zotpy.http` overrides, replaces or reads there. A start checks it with `zotpy.libraries.check`.
`tests/unit/test_fence.py` checks that no class or import of the package is left out.
"""

from zotpy.libraries import Library, Part

H11 = Library(
    "h11",
    "0.16",
    (
        Part(
            "h11._connection.Connection.__init__",
            "self our_role max_incomplete_event_size",
            uses="_receive_buffer _receive_buffer_closed _reader _cstate client_is_waiting_for_100_continue",
        ),
        Part("h11._connection.Connection.receive_data", "self data", uses="_receive_buffer _receive_buffer_closed"),
        Part("h11._connection.Connection.next_event", "self", uses="_extract_next_receive_event _process_event"),
        Part("h11._connection.Connection._extract_next_receive_event", "self", uses="_reader _receive_buffer"),
        Part("h11._connection.Connection._process_event", "self role event", uses="_cstate _respond_to_state_changes"),
        Part("h11._connection.Connection._respond_to_state_changes", uses="_get_io_object _reader"),
        Part("h11._connection.Connection._get_io_object", "self role event io_dict"),
        Part("h11._connection.Connection.they_are_waiting_for_100_continue"),
        Part("h11._state.ConnectionState.process_keep_alive_disabled", "self"),
        Part("h11._receivebuffer.blank_line_regex"),
        Part(
            "h11._receivebuffer.ReceiveBuffer.__init__",
            "self",
            uses="_data _next_line_search _multiple_lines_search",
        ),
        Part("h11._receivebuffer.ReceiveBuffer.__iadd__", "self byteslike"),
        Part("h11._receivebuffer.ReceiveBuffer.__len__", "self"),
        Part("h11._receivebuffer.ReceiveBuffer.__bytes__", "self"),
        Part("h11._receivebuffer.ReceiveBuffer.maybe_extract_at_most", "self count"),
        Part("h11._receivebuffer.ReceiveBuffer.maybe_extract_next_line", "self"),
        Part("h11._receivebuffer.ReceiveBuffer.maybe_extract_lines", "self"),
        Part("h11._receivebuffer.ReceiveBuffer.is_next_line_obviously_invalid_request_line", "self"),
        Part("h11._readers.ChunkedReader.__init__", "self", uses="_bytes_in_chunk _bytes_to_discard _reading_trailer"),
        Part(
            "h11._readers.ChunkedReader.__call__",
            "self buf",
            uses="maybe_extract_at_most maybe_extract_next_line maybe_extract_lines",
        ),
        Part("h11._readers.ContentLengthReader.__init__", "self length", uses="_remaining"),
        Part("h11._readers.ContentLengthReader.__call__", "self buf", uses="_remaining maybe_extract_at_most"),
    ),
)

HYPERCORN = Library(
    "hypercorn",
    "0.18",
    (
        Part(
            "hypercorn.trio.run.worker_serve",
            "app config sockets shutdown_trigger task_status",
            uses="TCPServer create_ssl_context graceful_timeout terminated",
        ),
        Part("hypercorn.trio.run.TCPServer"),
        Part("hypercorn.trio.task_group.TaskGroup.spawn_app", uses="max_app_queue_size"),
        Part(
            "hypercorn.trio.tcp_server.TCPServer.__init__",
            "self app config context state stream",
            uses="config context stream send_lock",
        ),
        Part(
            "hypercorn.trio.tcp_server.TCPServer.run",
            "self",
            uses="ssl_handshake_timeout do_handshake selected_alpn_protocol transport_stream stream"
            " protocol protocol_send _idle_timeout _read_data _close",
        ),
        Part("hypercorn.trio.tcp_server.TCPServer.protocol_send", "self event"),
        Part("hypercorn.trio.tcp_server.TCPServer._read_data", "self"),
        Part("hypercorn.trio.tcp_server.TCPServer._idle_timeout", "self"),
        Part("hypercorn.trio.tcp_server.TCPServer._initiate_server_close", "self"),
        Part("hypercorn.trio.tcp_server.TCPServer._close", "self"),
        Part("hypercorn.config.Config.create_ssl_context", "self", uses="alpn_protocols keyfile_password"),
        Part("hypercorn.config.Config.response_headers", "self protocol", uses="include_server_header"),
        Part("hypercorn.config.Config.alpn_protocols"),
        Part("hypercorn.config.Config.keyfile_password"),
        Part("hypercorn.events.Closed.__init__", "self"),
        Part("hypercorn.events.RawData.__init__", "self data address"),
        Part("hypercorn.events.Updated.__init__", "self idle"),
        Part(
            "hypercorn.protocol.ProtocolWrapper.__init__",
            "self app config context task_group state ssl client server send alpn_protocol",
            uses="app config context task_group state ssl client server send protocol H11Protocol",
        ),
        Part("hypercorn.protocol.ProtocolWrapper.handle", "self event", uses="protocol handle"),
        Part("hypercorn.protocol.events.Request.__init__", "self stream_id headers http_version method raw_path state"),
        Part("hypercorn.protocol.h11.STREAM_ID"),
        Part(
            "hypercorn.protocol.h11.H11Protocol.__init__",
            "self app config context task_group connection_state ssl client server send",
            uses="connection connection_state keep_alive_requests h11_max_incomplete_size stream",
        ),
        Part("hypercorn.protocol.h11.H11Protocol.handle", "self event", uses="receive_data _handle_events"),
        Part(
            "hypercorn.protocol.h11.H11Protocol._handle_events",
            "self",
            uses="they_are_waiting_for_100_continue _send_error_response _check_protocol _create_stream Updated",
        ),
        Part("hypercorn.protocol.h11.H11Protocol._check_protocol", "self event"),
        Part(
            "hypercorn.protocol.h11.H11Protocol._create_stream",
            "self request",
            uses="HTTPStream stream_send Request keep_alive_requests mark_request",
        ),
        Part("hypercorn.protocol.h11.H11Protocol.stream_send", "self event", uses="_send_h11_event _maybe_recycle"),
        Part("hypercorn.protocol.h11.H11Protocol._maybe_recycle", "self", uses="start_next_cycle Updated Closed"),
        Part("hypercorn.protocol.h11.H11Protocol._send_h11_event", "self event"),
        Part("hypercorn.protocol.h11.H11Protocol._send_error_response", "self status_code"),
        Part(
            "hypercorn.protocol.http_stream.HTTPStream.__init__",
            "self app config context task_group ssl client server send stream_id",
        ),
        Part("hypercorn.protocol.http_stream.HTTPStream.handle", "self event", uses="spawn_app app_send state"),
        Part(
            "hypercorn.protocol.http_stream.HTTPStream.app_send",
            "self message",
            uses="ASGIHTTPState RESPONSE Body StreamClosed closed scope send state",
        ),
        Part("hypercorn.protocol.events.Body.__init__", "self stream_id data"),
    ),
)

QUART = Library(
    "quart",
    "0.22",
    (
        Part("quart.app.Quart.asgi_http_class"),
        Part("quart.app.Quart.asgi_app", "self scope receive send", uses="asgi_http_class"),
        Part("quart.asgi.ASGIHTTPConnection.__init__", "self app scope", uses="app scope"),
    ),
)

QUART_TRIO = Library(
    "quart-trio",
    "0.12",
    (
        Part("quart_trio.app.QuartTrio.asgi_http_class"),
        Part("quart_trio.asgi.TrioASGIHTTPConnection.__call__", "self receive send"),
        Part("quart_trio.asgi.TrioASGIHTTPConnection.handle_messages", "self nursery request receive"),
        Part("quart_trio.asgi.TrioASGIHTTPConnection.handle_request", "self nursery request send"),
    ),
)

SERVER = (H11, HYPERCORN, QUART, QUART_TRIO)
"""What a replica relies on."""
