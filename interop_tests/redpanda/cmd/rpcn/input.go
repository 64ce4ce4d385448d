package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

type counterConfig struct {
	Prefix  string `json:"prefix"`
	Count   int    `json:"count"`
	Batch   int    `json:"batch"`
	Replay  bool   `json:"auto_replay_nacks"`
	Journal string `json:"journal"`
}

type counter struct {
	counterConfig
	mutex sync.Mutex
	next  int
}

func newCounter(config counterConfig) (service.BatchInput, bool, error) {
	if config.Batch < 1 {
		return nil, false, fmt.Errorf("batch is %d, and a batch has at least one message", config.Batch)
	}
	return &counter{counterConfig: config}, config.Replay, note(config.Journal, "init")
}

func (c *counter) Connect(context.Context) error {
	return note(c.Journal, "connect")
}

// ReadBatch marks the first message of each batch, so that metadata crosses too.
func (c *counter) ReadBatch(context.Context) (service.MessageBatch, service.AckFunc, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.next >= c.Count {
		return nil, nil, service.ErrEndOfInput
	}
	first := c.next
	var batch service.MessageBatch
	for ; c.next < c.Count && len(batch) < c.Batch; c.next++ {
		batch = append(batch, service.NewMessage(fmt.Appendf(nil, "%s%d", c.Prefix, c.next)))
	}
	batch[0].MetaSetMut("first", first)
	acked := func(_ context.Context, err error) error {
		return note(c.Journal, fmt.Sprintf("ack %d %v", first, err))
	}
	return batch, acked, note(c.Journal, fmt.Sprintf("read %d", first))
}

func (c *counter) Close(context.Context) error {
	return note(c.Journal, "close")
}
