package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// order is the input document; main.go describes it.
type order struct {
	Argv        []string          `json:"argv"`
	Reattach    *record           `json:"reattach"`
	Directory   string            `json:"directory"`
	Environment map[string]string `json:"environment"`
	SkipHostEnv bool              `json:"skip_host_env"`

	CookieKey        string   `json:"cookie_key"`
	CookieValue      string   `json:"cookie_value"`
	Versions         []int    `json:"versions"`
	AllowedProtocols []string `json:"allowed_protocols"`

	AutoMTLS       bool        `json:"auto_mtls"`
	TLS            string      `json:"tls"`
	Multiplex      bool        `json:"multiplex"`
	Managed        bool        `json:"managed"`
	MinPort        uint        `json:"min_port"`
	MaxPort        uint        `json:"max_port"`
	SHA256         string      `json:"sha256"`
	LogBufferBytes int         `json:"log_buffer_bytes"`
	UnixSocket     *unixSocket `json:"unix_socket"`
	Runner         bool        `json:"runner"`
	SyncStdio      bool        `json:"sync_stdio"`

	StartTimeout milliseconds `json:"start_timeout_ms"`
	StepTimeout  milliseconds `json:"step_timeout_ms"`
	KillTimeout  milliseconds `json:"kill_timeout_ms"`
	Timeout      milliseconds `json:"timeout_ms"`

	LeaveRunning bool   `json:"leave_running"`
	Steps        []step `json:"steps"`
}

// record is a reattach configuration, in the input and in the report alike.
type record struct {
	Network  string `json:"network"`
	Address  string `json:"address"`
	PID      int    `json:"pid"`
	Protocol string `json:"protocol"`
	Version  int    `json:"version"`
	Test     bool   `json:"test"`
}

type unixSocket struct {
	Group   string `json:"group"`
	TempDir string `json:"temp_dir"`
}

// step holds the arguments of every operation; each uses its own few.
type step struct {
	Op           string            `json:"op"`
	Timeout      milliseconds      `json:"timeout_ms"`
	Data         []byte            `json:"data"`
	Text         string            `json:"text"`
	Channel      string            `json:"channel"`
	Times        uint32            `json:"times"`
	Level        string            `json:"level"`
	Message      string            `json:"message"`
	Fields       map[string]string `json:"fields"`
	Milliseconds uint32            `json:"milliseconds"`
	Count        uint32            `json:"count"`
	Bytes        int               `json:"bytes"`
	A            int64             `json:"a"`
	B            int64             `json:"b"`
	Code         int32             `json:"code"`
	Names        []string          `json:"names"`
	Key          string            `json:"key"`
	Service      string            `json:"service"`
	V1Alpha      bool              `json:"v1alpha"`
	Contains     string            `json:"contains"`
}

// payload is data, or text where data is absent.
func (s step) payload() []byte {
	if s.Data == nil {
		return []byte(s.Text)
	}
	return s.Data
}

// milliseconds is a duration in the documents' unit.
type milliseconds float64

func (m milliseconds) duration() time.Duration {
	return time.Duration(float64(m) * float64(time.Millisecond))
}

func since(start time.Time) milliseconds {
	return milliseconds(float64(time.Since(start)) / float64(time.Millisecond))
}

func readOrder(input io.Reader) (*order, error) {
	order := &order{
		CookieKey:        "INTEROP_PLUGIN",
		CookieValue:      "hello",
		Versions:         []int{1},
		AllowedProtocols: []string{"grpc"},
		SyncStdio:        true,
		StartTimeout:     10_000,
		StepTimeout:      10_000,
		KillTimeout:      10_000,
		Timeout:          60_000,
	}
	decoder := json.NewDecoder(input)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(order); err != nil {
		return nil, fmt.Errorf("the order on stdin: %w", err)
	}
	if (len(order.Argv) == 0) == (order.Reattach == nil) {
		return nil, errors.New("the order needs exactly one of argv and reattach")
	}
	for index := range order.Steps {
		step := &order.Steps[index]
		if _, known := operations[step.Op]; !known {
			return nil, fmt.Errorf("step %d: no such op: %q", index, step.Op)
		}
		if step.Timeout == 0 {
			step.Timeout = order.StepTimeout
		}
	}
	return order, nil
}
