package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os/exec"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"goplugin/interop/internal/kvv1"
	"goplugin/interop/internal/probe"
	"goplugin/interop/internal/settings"
)

const (
	forcedMessage = "plugin failed to exit gracefully" // client.go, Kill
	askLimit      = 2 * time.Second
)

// session is one plugin under one order.
type session struct {
	order  *order
	client *plugin.Client
	probe  *probe.Client
	store  kvv1.KVClient

	command   *exec.Cmd // nil with reattach
	secure    *plugin.SecureConfig
	stdout    *stream
	stderr    *stream
	rawStderr *stream
	journal   *journal
	killing   killing
}

func newSession(order *order) (*session, error) {
	s := &session{
		order: order, stdout: newStream(), stderr: newStream(), rawStderr: newStream(), journal: &journal{},
	}
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	s.client = plugin.NewClient(config)
	return s, nil
}

// run does the whole order and never fails: what went wrong is in the report.
func (s *session) run() *report {
	ctx, cancel := context.WithTimeout(context.Background(), s.order.Timeout.duration())
	defer cancel()

	report := &report{Steps: []result{}}
	report.GoPlugin, report.GRPC = linked()

	began := time.Now()
	if err := s.start(ctx); err != nil {
		report.Error = err.Error()
	} else {
		report.Started = true
	}
	report.StartMilliseconds = since(began)
	s.describe(report)
	if report.Started {
		for _, step := range s.order.Steps {
			if ctx.Err() != nil {
				break
			}
			report.Steps = append(report.Steps, s.perform(ctx, step))
		}
	}
	report.TimedOut = ctx.Err() != nil

	if !s.killing.Called && !s.order.LeaveRunning {
		_ = s.kill()
	}
	s.conclude(report)
	return report
}

func (s *session) start(ctx context.Context) error {
	_, err := within(ctx, s.order.Timeout.duration(), func(context.Context) (any, error) {
		protocol, err := s.client.Client()
		if err != nil {
			return nil, err
		}
		dispensed, err := protocol.Dispense(probe.PluginName)
		if err != nil {
			return nil, err
		}
		s.probe = dispensed.(*probe.Client)
		dispensed, err = protocol.Dispense(probe.StoreName)
		if err != nil {
			return nil, err
		}
		s.store = dispensed.(kvv1.KVClient)
		return nil, nil
	})
	return err
}

func (s *session) config() (*plugin.ClientConfig, error) {
	order := s.order
	config := &plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			MagicCookieKey: order.CookieKey, MagicCookieValue: order.CookieValue,
		},
		AutoMTLS:            order.AutoMTLS,
		GRPCBrokerMultiplex: order.Multiplex,
		Managed:             order.Managed,
		MinPort:             order.MinPort,
		MaxPort:             order.MaxPort,
		PluginLogBufferSize: order.LogBufferBytes,
		SkipHostEnv:         order.SkipHostEnv,
		StartTimeout:        min(order.StartTimeout, order.Timeout).duration(),
		Stderr:              s.rawStderr,
		Logger:              s.journal.logger(),
	}
	for _, protocol := range order.AllowedProtocols {
		config.AllowedProtocols = append(config.AllowedProtocols, plugin.Protocol(protocol))
	}
	if order.SyncStdio {
		config.SyncStdout, config.SyncStderr = s.stdout, s.stderr
	}
	if order.UnixSocket != nil {
		config.UnixSocketConfig = &plugin.UnixSocketConfig{
			Group: order.UnixSocket.Group, TempDir: order.UnixSocket.TempDir,
		}
	}
	if order.TLS != "" {
		var err error
		if config.TLSConfig, err = settings.TLS(order.TLS); err != nil {
			return nil, err
		}
	}
	if order.SHA256 != "" {
		checksum, err := hex.DecodeString(order.SHA256)
		if err != nil {
			return nil, fmt.Errorf("sha256: %w", err)
		}
		if s.secure == nil {
			s.secure = &plugin.SecureConfig{Checksum: checksum, Hash: sha256.New()}
		}
		config.SecureConfig = s.secure
	}
	if order.Reattach != nil {
		// go-plugin negotiates nothing when it reattaches and looks at Plugins alone.
		config.Plugins = probe.Plugins(nil)
		reattach, err := order.Reattach.config()
		config.Reattach = reattach
		return config, err
	}

	config.VersionedPlugins = map[int]plugin.PluginSet{}
	for _, version := range order.Versions {
		config.VersionedPlugins[version] = probe.Plugins(nil)
	}
	s.command = exec.Command(order.Argv[0], order.Argv[1:]...)
	s.command.Dir = order.Directory
	for name, value := range order.Environment {
		s.command.Env = append(s.command.Env, name+"="+value)
	}
	if !order.Runner {
		config.Cmd = s.command
		return config, nil
	}
	config.RunnerFunc = func(_ hclog.Logger, prepared *exec.Cmd, _ string) (runner.Runner, error) {
		s.command.Env = append(s.command.Env, prepared.Env...)
		return newCommandRunner(s.command)
	}
	return config, nil
}

func (r *record) config() (*plugin.ReattachConfig, error) {
	var address net.Addr
	var err error
	switch r.Network {
	case "unix":
		address, err = net.ResolveUnixAddr(r.Network, r.Address)
	case "tcp":
		address, err = net.ResolveTCPAddr(r.Network, r.Address)
	default:
		err = fmt.Errorf("reattach: no such network: %q", r.Network)
	}
	protocol := plugin.Protocol(r.Protocol)
	if protocol == "" {
		protocol = plugin.ProtocolGRPC
	}
	return &plugin.ReattachConfig{
		Protocol: protocol, ProtocolVersion: r.Version, Addr: address, Pid: r.PID, Test: r.Test,
	}, err
}

// describe reports what the client knows of the plugin once it has started, or has failed to.
func (s *session) describe(report *report) {
	type facts struct {
		id      string
		version int
		config  *plugin.ReattachConfig
	}
	known, err := ask(s, func(client *plugin.Client) facts {
		return facts{client.ID(), client.NegotiatedVersion(), client.ReattachConfig()}
	})
	report.ID = known.id
	if err != nil || known.config == nil {
		return
	}
	report.NegotiatedVersion = known.version
	report.Protocol = string(known.config.Protocol)
	report.Reattach = &record{
		Network:  known.config.Addr.Network(),
		Address:  known.config.Addr.String(),
		PID:      known.config.Pid,
		Protocol: report.Protocol,
		Version:  known.version,
		Test:     known.config.Test,
	}
}

// ask puts a short question to the client, whose lock go-plugin holds for as long as a start takes.
func ask[T any](s *session, question func(*plugin.Client) T) (T, error) {
	return within(context.Background(), askLimit, func(context.Context) (T, error) {
		return question(s.client), nil
	})
}

func (s *session) perform(ctx context.Context, step step) result {
	began := time.Now()
	value, err := within(ctx, step.Timeout.duration(), func(ctx context.Context) (any, error) {
		return operations[step.Op](ctx, s, step)
	})
	result := result{Op: step.Op, OK: err == nil, Result: value, Milliseconds: since(began)}
	if err != nil {
		result.Error, result.Result = err.Error(), nil
		if status, ok := status.FromError(err); ok {
			result.Code = status.Code().String()
		}
	}
	return result
}

// kill is Client.Kill with a limit, which go-plugin's own lacks.
func (s *session) kill() error {
	began := time.Now()
	s.killing.Called = true
	limit := s.order.KillTimeout.duration()
	_, err := within(context.Background(), limit, func(context.Context) (any, error) {
		if s.order.Managed {
			plugin.CleanupClients()
		} else {
			s.client.Kill()
		}
		return nil, nil
	})
	s.killing.Returned = err == nil
	s.killing.Milliseconds = since(began)
	s.killing.Forced = s.journal.contains(forcedMessage)
	if err != nil && s.command != nil && s.command.Process != nil {
		_ = s.command.Process.Kill()
	}
	return err
}

func (s *session) conclude(report *report) {
	report.Stdout, report.Stderr = s.stdout.streamed(), s.stderr.streamed()
	report.RawStderr = s.rawStderr.streamed()
	report.Logs, report.LogsDropped = s.journal.snapshot()
	report.Kill = s.killing
	report.Exited, _ = ask(s, (*plugin.Client).Exited)
	if !report.Exited {
		return
	}
	if s.command == nil || s.command.ProcessState == nil {
		return
	}
	if status := s.command.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		report.Signal = status.Signal().String()
	} else {
		code := status.ExitStatus()
		report.ExitCode = &code
	}
}

// within runs work for at most the limit. Work that does not heed its context is left behind: the process
// ends soon.
func within[T any](
	ctx context.Context, limit time.Duration, work func(context.Context) (T, error),
) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := work(ctx)
		done <- outcome{value, err}
	}()
	select {
	case outcome := <-done:
		return outcome.value, outcome.err
	case <-ctx.Done():
		var none T
		return none, status.Errorf(codes.DeadlineExceeded, "no end within %v", limit)
	}
}

// linked names the versions of go-plugin and grpc-go in this program.
func linked() (goPlugin, grpc string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/hashicorp/go-plugin":
			goPlugin = module.Version
		case "google.golang.org/grpc":
			grpc = module.Version
		}
	}
	return goPlugin, grpc
}
