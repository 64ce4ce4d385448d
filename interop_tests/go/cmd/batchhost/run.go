package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/encoding/protojson"

	"goplugin/interop/internal/batch"
)

// session is one run: the plugins that are open, and what is known of each.
type session struct {
	order      *order
	logger     hclog.Logger
	report     *report
	input      *batch.Input
	processors []*batch.Processor
	output     *batch.Output
	closers    []func(context.Context)
}

// run never fails: what went wrong is in the report.
func run(order *order, batches []batch.Batch) *report {
	s := &session{
		order:  order,
		logger: hclog.New(&hclog.LoggerOptions{Name: "batchhost", Level: hclog.Debug, Output: os.Stderr}),
		report: &report{Plugins: []pluginReport{}, Settled: []settled{}},
	}
	ctx, cancel := context.WithTimeout(context.Background(), order.limit())
	defer cancel()
	err := s.open(ctx)
	if err == nil {
		err = s.flow(ctx, batches)
	}
	if err != nil {
		s.report.Error = err.Error()
	}
	for _, close := range s.closers {
		close(ctx)
	}
	return s.report
}

// open starts the plugins, each with a line in the report that its end completes.
func (s *session) open(ctx context.Context) error {
	var err error
	if one := s.order.Input; one != nil {
		how, entry := s.launch("input", one)
		if s.input, err = batch.OpenInput(ctx, how, one.config()); err != nil {
			return err
		}
		entry.AutoReplayNacks = s.input.Replays
		s.closing(how.Command, entry, s.input.Close)
	}
	for _, one := range s.order.Processors {
		how, entry := s.launch("processor", one)
		processor, err := batch.OpenProcessor(ctx, how, one.config())
		if err != nil {
			return err
		}
		s.processors = append(s.processors, processor)
		s.closing(how.Command, entry, processor.Close)
	}
	if one := s.order.Output; one != nil {
		how, entry := s.launch("output", one)
		if s.output, err = batch.OpenOutput(ctx, how, one.config()); err != nil {
			return err
		}
		entry.MaxInFlight = s.output.MaxInFlight
		if s.output.Policy != nil {
			if entry.BatchPolicy, err = protojson.Marshal(s.output.Policy); err != nil {
				return err
			}
		}
		s.closing(how.Command, entry, s.output.Close)
	}
	return nil
}

func (s *session) launch(name string, order *pluginOrder) (batch.Launch, *pluginReport) {
	command := exec.Command(order.Argv[0], order.Argv[1:]...)
	entry := &pluginReport{Name: name}
	return batch.Launch{Command: command, AutoMTLS: s.order.AutoMTLS, Logger: s.logger}, entry
}

func (s *session) closing(command *exec.Cmd, entry *pluginReport, close func(context.Context) error) {
	s.closers = append(s.closers, func(ctx context.Context) {
		if err := close(ctx); err != nil {
			entry.Close = err.Error()
		}
		entry.ExitCode = command.ProcessState.ExitCode()
		s.report.Plugins = append(s.report.Plugins, *entry)
	})
}

// flow takes one batch after the other from where they come from to the end.
func (s *session) flow(ctx context.Context, batches []batch.Batch) error {
	if s.input == nil {
		for _, one := range batches {
			if _, err := s.deliver(ctx, one, 0); err != nil {
				return err
			}
		}
		return nil
	}
	replays := 0
	if s.input.Replays {
		replays = s.order.Replays
	}
	for {
		delivery, err := s.input.Read(ctx)
		if errors.Is(err, batch.ErrEndOfInput) {
			return nil
		}
		if err != nil {
			return err
		}
		failed, err := s.deliver(ctx, delivery.Batch, replays)
		if err != nil {
			return err // never settled: the input will send it again to whoever asks next
		}
		if err := delivery.Settle(ctx, failed); err != nil {
			return err
		}
	}
}

// deliver returns why a batch failed in the end, and apart from that what ends the run.
func (s *session) deliver(ctx context.Context, read batch.Batch, replays int) (failed, err error) {
	entry := settled{}
	if entry.Read, err = shown(read); err != nil {
		return nil, err
	}
	for {
		entry.Attempts++
		entry.Sent = [][]json.RawMessage{}
		if failed, err = s.attempt(ctx, read, &entry); err != nil {
			return nil, err
		}
		if failed == nil || entry.Attempts > replays {
			break
		}
	}
	if failed != nil {
		entry.Error = failed.Error()
	}
	s.report.Settled = append(s.report.Settled, entry)
	return failed, nil
}

func (s *session) attempt(ctx context.Context, read batch.Batch, entry *settled) (failed, err error) {
	batches := []batch.Batch{read}
	for _, processor := range s.processors {
		var next []batch.Batch
		for _, one := range batches {
			made, err := processor.Process(ctx, one)
			if err != nil {
				return nil, err
			}
			next = append(next, made...)
		}
		batches = next
	}
	for _, one := range batches {
		text, err := shown(one)
		if err != nil {
			return nil, err
		}
		entry.Sent = append(entry.Sent, text)
		if s.output != nil {
			if failed := s.output.Send(ctx, one); failed != nil {
				return failed, nil
			}
		}
	}
	return nil, nil
}
