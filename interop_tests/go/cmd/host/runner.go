package main

import (
	"context"
	"io"
	"os/exec"
	"strconv"

	"github.com/hashicorp/go-plugin/runner"
)

// commandRunner runs the plugin as a plain process, but by way of RunnerFunc: go-plugin then makes a directory
// for the plugin's sockets and names it in PLUGIN_UNIX_SOCKET_DIR, which it does not do for Cmd.
type commandRunner struct {
	command        *exec.Cmd
	stdout, stderr io.ReadCloser
}

var _ runner.Runner = (*commandRunner)(nil)

func newCommandRunner(command *exec.Cmd) (*commandRunner, error) {
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := command.StderrPipe()
	if err != nil {
		return nil, err
	}
	return &commandRunner{command, stdout, stderr}, nil
}

func (r *commandRunner) Start(context.Context) error     { return r.command.Start() }
func (r *commandRunner) Wait(context.Context) error      { return r.command.Wait() }
func (r *commandRunner) Kill(context.Context) error      { return r.command.Process.Kill() }
func (r *commandRunner) Stdout() io.ReadCloser           { return r.stdout }
func (r *commandRunner) Stderr() io.ReadCloser           { return r.stderr }
func (r *commandRunner) Name() string                    { return r.command.Path }
func (r *commandRunner) Diagnose(context.Context) string { return "" }

// ID is empty before the start: Client.Kill takes that for "nothing to kill".
func (r *commandRunner) ID() string {
	if r.command.Process == nil {
		return ""
	}
	return strconv.Itoa(r.command.Process.Pid)
}

func (r *commandRunner) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (r *commandRunner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
