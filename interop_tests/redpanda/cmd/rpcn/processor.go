package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/redpanda-data/benthos/v4/public/service"
)

type upperConfig struct {
	Suffix  string `json:"suffix"`
	FailOn  string `json:"fail_on"`
	ExitOn  string `json:"exit_on"`
	Journal string `json:"journal"`
}

type upper struct {
	upperConfig
}

func newUpper(config upperConfig) (service.BatchProcessor, error) {
	return &upper{config}, note(config.Journal, "init")
}

// ProcessBatch returns one batch; an empty payload is dropped, and what remains of nothing is no batch.
func (u *upper) ProcessBatch(_ context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	var done service.MessageBatch
	for _, message := range batch {
		payload, err := message.AsBytes()
		if err != nil {
			return nil, err
		}
		switch {
		case u.ExitOn != "" && string(payload) == u.ExitOn:
			os.Exit(3)
		case u.FailOn != "" && string(payload) == u.FailOn:
			return nil, fmt.Errorf("no upper case for %q", payload)
		case len(payload) > 0:
			message.SetBytes(append(bytes.ToUpper(payload), u.Suffix...))
			done = append(done, message)
		}
	}
	if len(done) == 0 {
		return nil, nil
	}
	return []service.MessageBatch{done}, nil
}

func (u *upper) Close(context.Context) error {
	return note(u.Journal, "close")
}
