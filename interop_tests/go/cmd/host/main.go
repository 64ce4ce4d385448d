// Command host is a real go-plugin host that does what a JSON document on stdin says and prints one JSON document.
// It is how tests see a plugin with go-plugin's own eyes. Nothing in it waits for ever: each step has its time
// limit, the whole run has one, and a plugin that outlives it is killed.
//
// # Input
//
// Every key is optional, but exactly one of argv and reattach must be there. Unknown keys are refused.
//
//	argv               [string]       the plugin's command line
//	reattach           object         a plugin that runs already: network, address, pid, protocol ("grpc" unless
//	                                  given), version, test
//	directory          string         where the plugin starts
//	environment        {name: value}  put before what the host inherits, as ClientConfig.Cmd.Env
//	skip_host_env      bool           the plugin inherits nothing
//	cookie_key         string         "INTEROP_PLUGIN" unless given
//	cookie_value       string         "hello" unless given
//	versions           [int]          VersionedPlugins; [1] unless given
//	allowed_protocols  [string]       ["grpc"] unless given
//	auto_mtls          bool
//	multiplex          bool           GRPCBrokerMultiplex
//	managed            bool           the last kill is CleanupClients, not Client.Kill
//	min_port, max_port int            10000 and 25000 unless given (go-plugin's)
//	sha256             string         hex; SecureConfig
//	log_buffer_bytes   int            PluginLogBufferSize; 65536 unless given (go-plugin's)
//	unix_socket        object         UnixSocketConfig: group (name or gid), temp_dir
//	runner             bool           start argv through a RunnerFunc; only then does go-plugin make a socket directory
//	sync_stdio         bool           collect StreamStdio in stdout and stderr; true unless given
//	start_timeout_ms   int            ClientConfig.StartTimeout; 10000 unless given
//	step_timeout_ms    int            the limit of a step that names none; 10000 unless given
//	kill_timeout_ms    int            how long Client.Kill may take before the process gets SIGKILL; 10000 unless given
//	timeout_ms         int            the limit of everything but the kill; 60000 unless given
//	leave_running      bool           no kill at the end: the plugin is somebody else's now
//	steps              [object]       done in order, whether or not the one before went well
//
// # Steps
//
// Each has op and may have timeout_ms. Bytes are standard base64 in both directions.
//
//	{"op": "ping"}                                        Client.Ping
//	{"op": "health", "service": s}                        result: "SERVING", …
//	{"op": "reflect"}                                     result: the services listed, sorted; "v1alpha": true asks the old service
//	{"op": "echo", "data": b64}                           result: b64
//	{"op": "big", "bytes": n}                             echoes n bytes and compares; result: n
//	{"op": "add", "a": 1, "b": 2}                         result: 3
//	{"op": "print", "channel": "stdout"|"stderr", "data": b64, "times": n}
//	{"op": "log", "level": s, "message": s, "fields": {name: value}}
//	{"op": "sleep", "milliseconds": n}
//	{"op": "stream", "count": n}                          result: [0, …, n-1] as received
//	{"op": "fail", "code": n, "message": s}               ok if that very status came; result: {"code": n, "message": s}
//	{"op": "environment", "names": [s]}                   result: {name: value} of those set in the plugin
//	{"op": "descriptors"}                                 result: n
//	{"op": "kv_put", "key": s, "data": b64}
//	{"op": "kv_get", "key": s}                            result: b64
//	{"op": "exit", "code": n}                             ok once the host has seen the process end
//	{"op": "wait_exit"}                                   the same without asking for it
//	{"op": "wait_stdout", "contains": s}                  waits until the text is in what StreamStdio brought (its first 4 MiB
//	                                                      or its last 64 KiB)
//	{"op": "wait_stderr", "contains": s}
//	{"op": "wait_log", "contains": s}                     waits for a log record whose message contains the text
//	{"op": "exited"}                                      result: Client.Exited
//	{"op": "kill"}                                        Client.Kill; steps after it see a dead plugin
//
// "text" may stand for "data" where plain UTF-8 will do.
//
// # Output
//
//	go_plugin, grpc    string   the versions linked, as "v1.8.0"
//	started            bool     Client.Client and both Dispenses succeeded
//	error              string   why not; "" if they did
//	start_milliseconds float    from NewClient to the connected client
//	negotiated_version int
//	protocol           string   "grpc", "netrpc" or ""
//	id                 string   Client.ID after the start
//	reattach           object   Client.ReattachConfig after the start, in the form of the input, with the negotiated
//	                            version; null without
//	steps              [object] op, ok, error, code, result, milliseconds; error is "" and result present if ok; code is
//	                            gRPC's name ("Unavailable"), "" if the error was no status
//	stdout, stderr     object   what StreamStdio brought: data (b64, the first 4 MiB), and of all that came: bytes, lines, sha256
//	raw_stderr         object   the process's own stderr as go-plugin copied it (ClientConfig.Stderr), the same form
//	logs               [object] level, name, message, fields, plugin: the first 20000 records of the host's logger; plugin is
//	                            true if the record came from the plugin's stderr, false if go-plugin wrote it. go-plugin's
//	                            two trace records for every piece of stdio are left out
//	logs_dropped       int      records after those
//	kill               object   called, returned (within its limit), milliseconds, forced (go-plugin had to kill the process);
//	                            of the kill step if there was one, else of the one that ends the run
//	exited             bool     Client.Exited at the end
//	exit_code          int      null if the process still runs, ended by a signal or was never ours
//	signal             string   "killed", …; "" if it ended by itself
//	timed_out          bool     timeout_ms ran out; the steps not reached are missing
//
// The exit status is 0 whenever a document was printed, 3 if the input was no good (a message is on stderr). It is 2 when
// go-plugin panicked: the trace is on stderr, and the plugin may still run.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	session, err := newSessionFrom(os.Stdin)
	if err != nil {
		fmt.Fprintf(os.Stderr, "host: %v\n", err)
		os.Exit(3)
	}
	if err := json.NewEncoder(os.Stdout).Encode(session.run()); err != nil {
		fmt.Fprintf(os.Stderr, "host: %v\n", err)
		os.Exit(1)
	}
}

func newSessionFrom(input io.Reader) (*session, error) {
	order, err := readOrder(input)
	if err != nil {
		return nil, err
	}
	return newSession(order)
}
