"""go-plugin's own tests, by name, and the tests of ours that ask the same. None was left out silently."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
CLIENT, SYNC, REATTACH = "hostlib/test_client.py", "hostlib/test_sync_client.py", "hostlib/test_reattach.py"
STDERR, CONFIG, SECURE, RUNNER = (f"hostlib/test_{name}.py" for name in ("stderr", "config", "secure", "runner"))
OUTPUT, SERVE, LISTENER = "hostlib/test_output.py", "pluginlib/test_serve.py", "transport/test_listener.py"
GO, UNDER_GO, BOTH_WAYS, OWN_TLS, BROKER = (
    f"../interop_tests/test_{name}.py"
    for name in ("python_host", "python_plugin_under_go", "both_ways", "own_tls", "broker")
)
COUNT = 60  # of go-plugin 1.8.0, without TestHelperProcess, which is a program

PORTED: dict[str, list[tuple[str, str]]] = {
    "TestClient": [(CLIENT, "test_what_is_known_of_a_plugin"), (CLIENT, "test_stopping_twice_gives_the_same_answer")],
    "TestClient_killStart": [(CLIENT, "test_a_start_that_failed_is_over"), (CLIENT, "test_a_client_starts_only_once")],
    "TestClient_testCleanup": [
        (SERVE, "test_after_serving_stdout_and_stderr_are_the_processs_own_again"),
        (CLIENT, "test_a_stop_goes_as_far_as_it_must_and_tells_how_far"),
    ],
    "TestClient_noStdoutScannerRace": [(CLIENT, "test_a_flood_on_stdout_and_stderr_blocks_nobody")],
    "TestClient_grpc_servercrash": [
        (CLIENT, "test_the_end_of_a_plugin_is_noticed_at_once_and_without_a_call"),
        (CLIENT, "test_a_plugin_that_dies_in_a_call_is_lost_and_the_error_is_the_calls_too"),
    ],
    "TestClient_grpc": [
        (CLIENT, "test_a_plugin_starts_answers_and_stops"),
        (GO, "test_our_host_can_do_everything_with_a_plugin"),
    ],
    "TestClient_grpcNotAllowed": [("handshake/test_line.py", "test_net_rpc_is_refused_with_advice")],
    "TestClient_grpcSyncStdio": [
        (CLIENT, "test_what_the_plugin_prints_over_grpc_goes_to_the_sinks"),
        (RUNNER, "test_a_runner_is_used_in_place_of_a_command"),
    ],
    "TestClient_cmdAndReattach": [(REATTACH, "test_what_makes_no_sense_with_a_record_is_refused")],
    "TestClient_reattachNoProtocol": [("handshake/test_reattach.py", "test_no_protocol_means_netrpc_as_in_go")],
    "TestClient_reattachGRPC": [(REATTACH, "test_a_second_client_finds_the_plugin_and_its_stop_ends_it")],
    "TestClient_reattachNotFound": [(REATTACH, "test_what_is_not_the_plugin_of_the_record_is_refused_and_left_alone")],
    "TestClientStart_badVersion": [(CLIENT, "test_a_bad_first_line_is_refused_by_its_field")],
    "TestClientStart_badNegotiatedVersion": [(GO, "test_a_plugin_without_a_common_version_is_refused_and_gone")],
    "TestClient_Start_Timeout": [(CLIENT, "test_a_plugin_that_does_not_come_up_is_lost")],
    "TestClient_Stderr": [(CLIENT, "test_a_copy_of_stderr_is_exact")],
    "TestClient_StderrJSON": [(STDERR, "test_an_hclog_line_is_read")],
    "TestClient_textLogLevel": [(STDERR, "test_a_prefix_raises_a_line_and_stays_in_it")],
    "TestClient_Stdin": [(CLIENT, "test_a_plugin_may_be_given_something_to_read")],
    "TestClient_SkipHostEnv": [
        (CLIENT, "test_nothing_is_inherited_where_that_was_asked"),
        (CONFIG, "test_what_is_inherited_is_what_was_asked_for"),
    ],
    "TestClient_RequestGRPCMultiplexing_UnsupportedByPlugin": [
        ("handshake/test_line.py", "test_a_line_that_does_not_answer_what_was_asked_is_refused")
    ],
    "TestClient_SecureConfig": [
        (SECURE, "test_a_plugin_with_another_checksum_is_not_run"),
        (SECURE, "test_a_plugin_with_the_right_checksum_starts_as_often_as_one_likes"),
    ],
    "TestClient_TLS": [(OWN_TLS, "test_a_python_host_without_tls_does_not_connect_to_a_go_plugin_that_wants_it")],
    "TestClient_TLS_grpc": [
        (BOTH_WAYS, "test_a_python_host_and_a_go_plugin_call_each_other"),
        (OWN_TLS, "test_a_python_host_and_a_go_plugin_do_not_connect_with_certificates_that_are_not_right"),
    ],
    "TestClient_secureConfigAndReattach": [(SECURE, "test_what_makes_no_sense_for_a_client_is_refused")],
    "TestClient_ping": [(CLIENT, "test_a_stopped_plugin_and_its_stubs_say_so")],
    "TestClient_wrongVersion": [(CLIENT, "test_a_bad_first_line_is_refused_by_its_field")],
    "TestClient_legacyServer": [(GO, "test_the_highest_common_version_is_negotiated")],
    "TestClient_versionedClient": [(GO, "test_the_highest_common_version_is_negotiated")],
    "TestClient_mtlsClient": [
        (GO, "test_our_host_can_do_everything_with_a_plugin"),
        (GO, "test_a_plugin_that_dies_in_a_call_is_lost_with_its_exit_code"),
    ],
    "TestClient_logger": [(GO, "test_our_host_can_do_everything_with_a_plugin")],
    "TestServerLogPanic": [
        (STDERR, "test_a_dying_program_is_an_error_to_its_end_but_for_what_is_tagged"),
        (UNDER_GO, "test_a_crash_reaches_the_host_with_its_traceback_at_error_level"),
    ],
    "TestClient_logStderr": [(STDERR, "test_a_long_line_comes_in_pieces_at_debug_with_nothing_missing")],
    "TestClient_logStderrParseJSON": [(OUTPUT, "test_a_line_longer_than_the_buffer_is_logged_in_pieces_of_its_size")],
    "TestClient_testInterfaceReattach": [(SERVE, "test_a_plugin_that_is_to_be_found_again_outlives_its_host")],
    "TestSetGroup": [(CLIENT, "test_the_sockets_can_be_shared_with_a_group_and_lie_where_they_are_wanted")],
    "TestServer_testMode": [(REATTACH, "test_a_plugin_in_test_mode_is_left_running")],
    "TestServer_testMode_AutoMTLS": [
        (BOTH_WAYS, "test_a_go_host_and_a_python_plugin_call_each_other"),
        (BOTH_WAYS, "test_a_python_host_and_a_go_plugin_call_each_other"),
    ],
    "TestRmListener_impl": [(LISTENER, "test_without_a_wish_the_socket_lies_in_a_directory_of_its_owners_alone")],
    "TestRmListener": [
        (LISTENER, "test_without_a_wish_the_socket_lies_in_a_directory_of_its_owners_alone"),
        (SERVE, "test_sigterm_stops_it_as_cleanly"),
    ],
    "TestServer_testStdLogger": [(SERVE, "test_logging_can_stay_the_programs_own")],
    "TestUnixSocketDir": [
        (SERVE, "test_the_socket_lies_where_the_host_wants_it"),
        (UNDER_GO, "test_the_hosts_socket_directory_is_used"),
    ],
    "TestUnixSocketGroupPermissions": [
        (SERVE, "test_the_group_that_the_host_names_may_connect"),
        (LISTENER, "test_a_group_may_use_the_socket_and_the_directory_that_was_made_for_it"),
    ],
    "TestGRPC_App": [(BOTH_WAYS, "test_a_python_host_and_a_go_plugin_call_each_other")],
    "TestGRPCConn_BidirectionalPing": [(BROKER, "test_a_go_plugin_calls_a_python_host_back")],
    "TestGRPCC_Stream": [
        (GO, "test_our_host_can_do_everything_with_a_plugin"),
        (BOTH_WAYS, "test_a_go_host_and_a_python_plugin_call_each_other"),
    ],
    "TestGRPC_Ping": [(CLIENT, "test_a_stopped_plugin_and_its_stubs_say_so")],
    "TestGRPC_Reflection": [(SERVE, "test_reflection_lists_what_a_go_plugin_lists_and_the_authors_own")],
    "TestAdditionalNotesAboutCommand": [("hostlib/test_diagnosis.py", "test_what_is_wrong_with_a_file_is_said")],
}
NET_RPC = {
    "TestClient_App",
    "TestClient_legacyClient",
    "TestClient_mtlsNetRPCClient",
    "TestClient_reattach",
    "TestClient_syncStreams",
    "TestClient_testInterface",
    "TestServer_RPC",
    "TestProtocolSelection_no_server",  # that a plugin without a gRPC server speaks net/rpc
    "TestBasicError_ImplementsError",  # how an error crosses net/rpc
    "TestBasicError_MatchesMessage",
    "TestNewBasicError_nil",
}
"""Of Go's net/rpc, which exists in Go alone."""


def names(file: str) -> set[str]:
    return {node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("test", PORTED)
def test_a_test_of_go_plugins_has_one_of_ours(test: str) -> None:
    for file, name in PORTED[test]:
        assert name in names(file)


def test_the_rest_is_of_net_rpc() -> None:
    assert not NET_RPC & PORTED.keys()
    assert len(NET_RPC | PORTED.keys()) == COUNT
