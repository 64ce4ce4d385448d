// Command host is a real go-plugin host that does what a JSON document on stdin says and prints one JSON
// document. It is how tests see a plugin with go-plugin's own eyes. Nothing in it waits for ever: each step has
// its time limit, the whole run has one, and a plugin that outlives it is killed.
//
// # Input
//
// Every key is optional, but exactly one of argv and reattach must be there. Unknown keys are refused.
//
//	argv               [string]       the plugin's command line
//	reattach           object         a plugin that runs already: network, address, pid, protocol ("grpc"
//	                                  unless given), version, test
//	directory          string         where the plugin starts
//	environment        {name: value}  put before what the host inherits, as ClientConfig.Cmd.Env
//	skip_host_env      bool           the plugin inherits nothing
//	cookie_key         string         "INTEROP_PLUGIN" unless given
//	cookie_value       string         "hello" unless given
//	versions           [int]          VersionedPlugins; [1] unless given
//	allowed_protocols  [string]       ["grpc"] unless given
//	auto_mtls          bool
//	tls                string         a folder whose certificates make the TLSConfig; see settings.TLS
//	multiplex          bool           GRPCBrokerMultiplex
//	managed            bool           kill by CleanupClients, not by Client.Kill
//	min_port, max_port int            10000 and 25000 unless given (go-plugin's)
//	sha256             string         hex; SecureConfig
//	log_buffer_bytes   int            PluginLogBufferSize; 65536 unless given (go-plugin's)
//	unix_socket        object         UnixSocketConfig: group (name or gid), temp_dir
//	runner             bool           start argv through a RunnerFunc; only then does go-plugin make a
//	                                  directory for the plugin's sockets
//	sync_stdio         bool           collect StreamStdio in stdout and stderr; true unless given
//	start_timeout_ms   number         ClientConfig.StartTimeout; 10000 unless given
//	step_timeout_ms    number         the limit of a step that names none; 10000 unless given
//	kill_timeout_ms    number         how long a kill may take before the process gets SIGKILL from us;
//	                                  10000 unless given
//	timeout_ms         number         the limit of everything but the kill; 60000 unless given
//	leave_running      bool           no kill at the end: the plugin is somebody else's now
//	steps              [object]       done in order, whether or not the one before went well; none is done if
//	                                  the start failed
//
// # Steps
//
// Each has op and may have timeout_ms. Bytes are standard base64 in both directions; "text" may stand for
// "data" where plain UTF-8 will do.
//
//	{"op": "ping"}                              Client.Ping
//	{"op": "health", "service": s}              result: "SERVING", …
//	{"op": "reflect"}                           result: the services listed, sorted; with "v1alpha": true
//	                                            the old reflection service is asked
//	{"op": "echo", "data": b64}                 result: b64
//	{"op": "big", "bytes": n}                   echoes n bytes and compares; result: n
//	{"op": "add", "a": 1, "b": 2}               result: 3
//	{"op": "print", "channel": c, "data": b64, "times": n}
//	                                            c is "stdout" or "stderr"; once unless times is given
//	{"op": "log", "level": s, "message": s, "fields": {name: value}}
//	{"op": "sleep", "milliseconds": n}
//	{"op": "stream", "count": n}                result: [0, …, n-1] as received
//	{"op": "call_back", "count": n, data}       n brokered servers of this host, called by the plugin at once;
//	                                            result: how many echoed the data
//	{"op": "call_in", "count": n, data}         the same, served by the plugin and called by this host
//	{"op": "call_both", "count": n, data}       both at once, n of each
//	{"op": "call_nobody"}                       each side dials an id that the other does not serve; result: the
//	                                            errors, as {"host": s, "plugin": s}
//	{"op": "fail", "code": n, "message": s}     ok if that very status came; result: {"code": n, "message": s}
//	{"op": "environment", "names": [s]}         result: {name: value} of those set in the plugin
//	{"op": "descriptors"}                       result: n
//	{"op": "kv_put", "key": s, "data": b64}
//	{"op": "kv_get", "key": s}                  result: b64
//	{"op": "exit", "code": n}                   ok once the host has seen the process end
//	{"op": "wait_exit"}                         the same without asking for it
//	{"op": "wait_stdout", "contains": s}        ok once the text is in what StreamStdio brought (the first
//	                                            4 MiB or the last 64 KiB)
//	{"op": "wait_stderr", "contains": s}
//	{"op": "wait_log", "contains": s}           ok once a log record's message contains the text
//	{"op": "exited"}                            result: Client.Exited
//	{"op": "start_again"}                       Client.Start once more; result: the address that it gives
//	{"op": "secure_again"}                      starts, and kills, another client with the same SecureConfig
//	{"op": "kill"}                              ok if it returned in time; steps after it see a dead plugin
//
// # Output
//
//	go_plugin, grpc    string    the versions linked, as "v1.8.0"
//	started            bool      Client.Client and both Dispenses succeeded
//	error              string    why not; "" if they did
//	start_milliseconds number    from before Client.Client until after the Dispenses
//	negotiated_version int
//	protocol           string    "grpc", "netrpc" or ""
//	id                 string    Client.ID after the start
//	reattach           object    Client.ReattachConfig after the start, in the form of the input and with the
//	                             negotiated version; null without. go-plugin gives pid 0 with runner
//	steps              [object]  op, ok, error, code, result, milliseconds. If ok, error is "" and result is
//	                             the step's own or null; if not, result is null and code is gRPC's name
//	                             ("Unavailable"), or "" if the error was no status
//	stdout, stderr     object    what StreamStdio brought: data (b64, the first 4 MiB); bytes, lines and
//	                             sha256 of all that came
//	raw_stderr         object    the process's own stderr as go-plugin copied it (ClientConfig.Stderr), the
//	                             same form
//	logs               [object]  level, name, message, fields, plugin: the first 20000 records of the host's
//	                             logger. plugin is true if the record came from the plugin's stderr, false if
//	                             go-plugin wrote it; its trace records of each piece of stdio are left out
//	logs_dropped       int       records after those
//	kill               object    called, returned (in time), milliseconds, forced (go-plugin had to kill the
//	                             process): of the kill step if there was one, else of the end of the run
//	exited             bool      Client.Exited at the end
//	exit_code          int       null if the process still runs, ended by a signal or was never ours
//	signal             string    "killed", …; "" if no signal ended it
//	timed_out          bool      timeout_ms ran out; the steps not reached are missing
//
// The exit status is 0 whenever a document was printed, 3 if the input was no good (a message is on stderr),
// 2 if go-plugin panicked: the trace is on stderr, and the plugin may still run.
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
