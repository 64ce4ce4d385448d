// Command yamux is hashicorp/yamux as a peer for tests. It listens on the unix socket that is its argument,
// says so on stdout, and ends with its stdin. Every connection is one run: its first line is a request in
// JSON, then both sides speak yamux, and when the run is over its result is one line of JSON on stdout. Runs
// have a time limit.
//
// # Request
//
//	scenario  string  see the table in main
//	client    bool    whether this side is yamux's client
//	streams   int     how many streams this side opens (raw, dial), or how many pings it sends (ping)
//	parallel  int     how many of them at once; 1 unless given
//	size      int     bytes for each of them
//	config    object  backlog, keepalive_ms, write_timeout_ms, close_timeout_ms in place of the defaults
//
// # Result
//
//	streams   int       how many were opened, accepted or pinged with success
//	bytes     int       how many bytes were read, of all streams
//	written   int       how many bytes could be written before nothing more fitted (push)
//	left      int       how many streams the session knew at the end
//	errors    [string]  what went wrong with streams, each text once, sorted
//	end       string    what ended the session
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

const runLimit = 60 * time.Second

type request struct {
	Scenario string
	Client   bool
	Streams  int
	Parallel int
	Size     int
	Config   struct {
		KeepaliveMs    int `json:"keepalive_ms"`
		WriteTimeoutMs int `json:"write_timeout_ms"`
		CloseTimeoutMs int `json:"close_timeout_ms"`
		Backlog        int
	}
}

func (r *request) config() *yamux.Config {
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	for target, milliseconds := range map[*time.Duration]int{
		&config.KeepAliveInterval:      r.Config.KeepaliveMs,
		&config.ConnectionWriteTimeout: r.Config.WriteTimeoutMs,
		&config.StreamCloseTimeout:     r.Config.CloseTimeoutMs,
	} {
		if milliseconds > 0 {
			*target = time.Duration(milliseconds) * time.Millisecond
		}
	}
	if r.Config.Backlog > 0 {
		config.AcceptBacklog = r.Config.Backlog
	}
	return config
}

// run is what the goroutines of one connection share.
type run struct {
	request
	session *yamux.Session
	mutex   sync.Mutex
	result  struct {
		Streams int      `json:"streams"`
		Bytes   int64    `json:"bytes"`
		Written int      `json:"written"`
		Left    int      `json:"left"`
		Errors  []string `json:"errors"`
		End     string   `json:"end"`
	}
}

// count notes the outcome of one stream or ping.
func (r *run) count(bytes int64, err error) {
	r.note(err)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.result.Bytes += bytes
	if err == nil {
		r.result.Streams++
	}
}

// note notes what went wrong, if it did.
func (r *run) note(err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err != nil && !slices.Contains(r.result.Errors, err.Error()) {
		r.result.Errors = append(r.result.Errors, err.Error())
	}
}

// raw opens streams, accepts none and leaves the rest to the other side.
func (r *run) raw() {
	for range r.Streams {
		_, err := r.session.OpenStream()
		r.count(0, err)
	}
	<-r.session.CloseChan()
}

// echo accepts streams and sends back what they bring until the other side ends the session.
func (r *run) echo() {
	var running sync.WaitGroup
	for {
		stream, err := r.session.AcceptStream()
		if err != nil {
			break
		}
		running.Add(1)
		go func() {
			defer running.Done()
			r.echoOne(stream)
		}()
	}
	running.Wait()
}

func (r *run) echoOne(stream *yamux.Stream) {
	count, err := io.Copy(stream, stream)
	r.count(count, errors.Join(err, stream.Close()))
}

// dial opens streams, finishes each after its bytes, and expects all of them back.
func (r *run) dial() {
	var running sync.WaitGroup
	turns := make(chan struct{}, max(r.Parallel, 1))
	for number := range r.Streams {
		turns <- struct{}{}
		running.Add(1)
		go func() {
			defer running.Done()
			r.count(r.dialOne(byte(number)))
			<-turns
		}()
	}
	running.Wait()
}

func (r *run) dialOne(fill byte) (int64, error) {
	stream, err := r.session.OpenStream()
	if err != nil {
		return 0, err
	}
	go func() {
		sent := make([]byte, r.Size)
		for i := range sent {
			sent[i] = fill + byte(i/1000)
		}
		_, _ = stream.Write(sent) // a failure shows in what comes back
		_ = stream.Close()
	}()
	received, err := io.ReadAll(stream)
	if err == nil && len(received) != r.Size {
		err = fmt.Errorf("%d bytes came back", len(received))
	}
	for i, value := range received {
		if err == nil && value != fill+byte(i/1000) {
			err = fmt.Errorf("byte %d came back wrong", i)
		}
	}
	return int64(len(received)), err
}

// hold accepts a stream and reads it, 4096 bytes at a time, only when a second one has arrived.
func (r *run) hold() {
	held, err := r.session.AcceptStream()
	r.note(err)
	_, err = r.session.AcceptStream()
	r.note(err)
	for buffer := make([]byte, 4096); err == nil; {
		var count int
		count, err = held.Read(buffer)
		r.result.Bytes += int64(count)
	}
	<-r.session.CloseChan()
}

// push writes to a stream until nothing has fitted for half a second, says so by opening another, writes the
// rest without that limit, and finishes the stream.
func (r *run) push() {
	stream, err := r.session.OpenStream()
	r.note(err)
	sent := make([]byte, r.Size)
	_ = stream.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	r.result.Written, err = stream.Write(sent)
	r.note(err)
	_, err = r.session.OpenStream()
	r.note(err)
	_ = stream.SetWriteDeadline(time.Time{})
	_, err = stream.Write(sent[r.result.Written:])
	r.note(errors.Join(err, stream.Close()))
	<-r.session.CloseChan()
}

func (r *run) ping() {
	for range r.Streams {
		_, err := r.session.Ping()
		r.count(0, err)
	}
}

// leave says, once a stream has arrived, that it takes no more, and echoes that one.
func (r *run) leave() {
	stream, err := r.session.AcceptStream()
	r.note(err)
	r.note(r.session.GoAway())
	r.echoOne(stream)
	<-r.session.CloseChan()
}

// left tries to open a stream when one that the other side opened has been finished.
func (r *run) left() {
	stream, err := r.session.AcceptStream()
	r.note(err)
	_, err = io.Copy(stream, stream)
	r.note(err)
	_, err = r.session.OpenStream()
	r.note(err)
	r.note(stream.Close())
	<-r.session.CloseChan()
}

// abandon opens a stream and closes it, and waits for the end of the session.
func (r *run) abandon() {
	stream, err := r.session.OpenStream()
	r.note(err)
	r.note(stream.Close())
	<-r.session.CloseChan()
}

// end returns what ended the session. Go may answer with streams that wait to be accepted instead: ask again.
func (r *run) end() string {
	for range 100 {
		if _, err := r.session.AcceptStream(); err != nil && !errors.Is(err, yamux.ErrSessionShutdown) {
			return err.Error()
		}
	}
	return yamux.ErrSessionShutdown.Error()
}

func (r *run) serve(connection net.Conn) error {
	defer connection.Close()
	limit := time.AfterFunc(runLimit, func() { connection.Close() })
	defer limit.Stop()
	reader := bufio.NewReaderSize(connection, 16)
	line, err := reader.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &r.request); err != nil {
		return err
	}
	scenario := map[string]func(){
		"raw": r.raw, "echo": r.echo, "dial": r.dial, "hold": r.hold, "push": r.push,
		"ping": r.ping, "leave": r.leave, "left": r.left, "abandon": r.abandon,
	}[r.Scenario]
	if scenario == nil {
		return fmt.Errorf("no scenario %q", r.Scenario)
	}
	open := yamux.Server
	if r.Client {
		open = yamux.Client
	}
	r.session, err = open(&buffered{connection, reader}, r.config())
	if err != nil {
		return err
	}
	scenario()
	return nil
}

// buffered is a connection some of whose bytes have been read already.
type buffered struct {
	net.Conn
	reader io.Reader
}

func (b *buffered) Read(into []byte) (int, error) { return b.reader.Read(into) }

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			r := &run{}
			r.result.Errors = []string{}
			if err := r.serve(connection); err != nil {
				r.note(err)
			}
			if r.session != nil {
				r.result.Left = r.session.NumStreams()
				_ = r.session.Close()
				r.result.End = r.end()
			}
			slices.Sort(r.result.Errors)
			line, _ := json.Marshal(r.result)
			fmt.Println(string(line))
		}()
	}
}
