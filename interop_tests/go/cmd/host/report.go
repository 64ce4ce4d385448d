package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

const (
	headBytes  = 4 << 20 // of a stream, in the report
	tailBytes  = 64 << 10
	logRecords = 20_000
)

// report is the output document; main.go describes it.
type report struct {
	GoPlugin          string       `json:"go_plugin"`
	GRPC              string       `json:"grpc"`
	Started           bool         `json:"started"`
	Error             string       `json:"error"`
	StartMilliseconds milliseconds `json:"start_milliseconds"`
	NegotiatedVersion int          `json:"negotiated_version"`
	Protocol          string       `json:"protocol"`
	ID                string       `json:"id"`
	Reattach          *record      `json:"reattach"`
	Steps             []result     `json:"steps"`
	Stdout            streamed     `json:"stdout"`
	Stderr            streamed     `json:"stderr"`
	RawStderr         streamed     `json:"raw_stderr"`
	Logs              []logRecord  `json:"logs"`
	LogsDropped       int          `json:"logs_dropped"`
	Kill              killing      `json:"kill"`
	Exited            bool         `json:"exited"`
	ExitCode          *int         `json:"exit_code"`
	Signal            string       `json:"signal"`
	TimedOut          bool         `json:"timed_out"`
}

type result struct {
	Op           string       `json:"op"`
	OK           bool         `json:"ok"`
	Error        string       `json:"error"`
	Code         string       `json:"code"`
	Result       any          `json:"result"`
	Milliseconds milliseconds `json:"milliseconds"`
}

type killing struct {
	Called       bool         `json:"called"`
	Returned     bool         `json:"returned"`
	Milliseconds milliseconds `json:"milliseconds"`
	Forced       bool         `json:"forced"`
}

type streamed struct {
	Data   []byte `json:"data"`
	Bytes  int    `json:"bytes"`
	Lines  int    `json:"lines"`
	SHA256 string `json:"sha256"`
}

// stream is a writer that keeps the first and the last of what it gets and measures all of it.
type stream struct {
	lock       sync.Mutex
	head, tail []byte
	bytes      int
	lines      int
	digest     hash.Hash
}

func newStream() *stream {
	return &stream{digest: sha256.New()}
}

func (s *stream) Write(data []byte) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.bytes += len(data)
	s.lines += bytes.Count(data, []byte{'\n'})
	s.digest.Write(data)
	s.head = append(s.head, data[:min(len(data), headBytes-len(s.head))]...)
	s.tail = append(s.tail, data...)
	if surplus := len(s.tail) - tailBytes; surplus > 0 {
		s.tail = append([]byte(nil), s.tail[surplus:]...)
	}
	return len(data), nil
}

func (s *stream) contains(text string) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	return bytes.Contains(s.tail, []byte(text)) || bytes.Contains(s.head, []byte(text))
}

func (s *stream) streamed() streamed {
	s.lock.Lock()
	defer s.lock.Unlock()
	data := append([]byte{}, s.head...)
	return streamed{data, s.bytes, s.lines, hex.EncodeToString(s.digest.Sum(nil))}
}

type logRecord struct {
	Level   string         `json:"level"`
	Name    string         `json:"name"`
	Message string         `json:"message"`
	Fields  map[string]any `json:"fields"`
	Plugin  bool           `json:"plugin"`
}

const hostLoggerName = "host"

// journal is the sink behind the logger that go-plugin gets.
type journal struct {
	lock    sync.Mutex
	records []logRecord
	dropped int
}

// logger returns the logger whose records the journal keeps.
func (j *journal) logger() hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{
		Name: hostLoggerName, Level: hclog.Trace, Output: io.Discard,
	})
	logger.RegisterSink(j)
	return logger
}

// Accept is hclog's SinkAdapter.
func (j *journal) Accept(name string, level hclog.Level, message string, pairs ...any) {
	fromStdio := name == hostLoggerName+".stdio"
	if fromStdio && level == hclog.Trace {
		return
	}
	fields := map[string]any{}
	for index := 0; index+1 < len(pairs); index += 2 {
		fields[fmt.Sprint(pairs[index])] = encodable(pairs[index+1])
	}
	// go-plugin logs the plugin's stderr under a child logger named after its executable.
	fromPlugin := strings.HasPrefix(name, hostLoggerName+".") && !fromStdio

	j.lock.Lock()
	defer j.lock.Unlock()
	if len(j.records) == logRecords {
		j.dropped++
		return
	}
	j.records = append(j.records, logRecord{level.String(), name, message, fields, fromPlugin})
}

func (j *journal) contains(text string) bool {
	j.lock.Lock()
	defer j.lock.Unlock()
	for _, record := range j.records {
		if strings.Contains(record.Message, text) {
			return true
		}
	}
	return false
}

func (j *journal) snapshot() ([]logRecord, int) {
	j.lock.Lock()
	defer j.lock.Unlock()
	return append([]logRecord{}, j.records...), j.dropped
}

// encodable is the value itself where JSON can carry it, else its text.
func encodable(value any) any {
	if err, failed := value.(error); failed {
		return err.Error()
	}
	if _, err := json.Marshal(value); err != nil {
		return fmt.Sprint(value)
	}
	return value
}
