package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
)

type linesConfig struct {
	Path        string `json:"path"`
	MaxInFlight int    `json:"max_in_flight"`
	Count       int    `json:"count"`
	Period      string `json:"period"`
	FailOn      string `json:"fail_on"`
	Journal     string `json:"journal"`
}

type lines struct {
	linesConfig
	connected bool
}

func newLines(config linesConfig) (service.BatchOutput, int, service.BatchPolicy, error) {
	policy := service.BatchPolicy{Count: config.Count, Period: config.Period}
	return &lines{linesConfig: config}, config.MaxInFlight, policy, note(config.Journal, "init")
}

func (l *lines) Connect(context.Context) error {
	l.connected = true
	return note(l.Journal, "connect")
}

// WriteBatch writes all of a batch at once, or nothing of it.
func (l *lines) WriteBatch(_ context.Context, batch service.MessageBatch) error {
	if !l.connected {
		return service.ErrNotConnected
	}
	var text strings.Builder
	for _, message := range batch {
		payload, err := message.AsBytes()
		if err != nil {
			return err
		}
		if l.FailOn != "" && string(payload) == l.FailOn {
			return fmt.Errorf("%q is not written", payload)
		}
		text.Write(payload)
		text.WriteByte('\n')
	}
	if err := appendTo(l.Path, text.String()); err != nil {
		return err
	}
	return note(l.Journal, fmt.Sprintf("send %d", len(batch)))
}

func (l *lines) Close(context.Context) error {
	return note(l.Journal, "close")
}
