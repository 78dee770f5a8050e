// Package unixctl asks a running Open vSwitch daemon over its control socket,
// as ovs-appctl does, without starting a process: it is what the tracer and
// checks look into the live switch with.
package unixctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Client is a connection to one daemon. It may be used by several goroutines;
// their calls are answered one after the other.
type Client struct {
	mu      sync.Mutex
	conn    net.Conn
	decoder *json.Decoder
	id      int
}

// Error is the daemon's own refusal of a command.
type Error struct{ Command, Text string }

// Error is what the daemon said, under the name of the command.
func (e *Error) Error() string {
	return fmt.Sprintf("unixctl: %s: %s", e.Command, strings.TrimSpace(e.Text))
}

// Find is the control socket of a daemon ("ovs-vswitchd", "ovsdb-server") that
// has its pid file in runDir. The error is fs.ErrNotExist when it does not run.
func Find(runDir, daemon string) (string, error) {
	text, err := os.ReadFile(filepath.Join(runDir, daemon+".pid"))
	if err != nil {
		return "", fmt.Errorf("unixctl: find %s: %w", daemon, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return "", fmt.Errorf("unixctl: pid file of %s: %w", daemon, err)
	}
	path := filepath.Join(runDir, fmt.Sprintf("%s.%d.ctl", daemon, pid))
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("unixctl: find %s: %w", daemon, err)
	}
	return path, nil
}

// Dial connects to a control socket.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("unixctl: %w", err)
	}
	return &Client{conn: conn, decoder: json.NewDecoder(conn)}, nil
}

// Switch connects to the ovs-vswitchd that has its files in runDir.
func Switch(ctx context.Context, runDir string) (*Client, error) {
	path, err := Find(runDir, "ovs-vswitchd")
	if err != nil {
		return nil, err
	}
	return Dial(ctx, path)
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

type request struct {
	Method string   `json:"method"`
	Params []string `json:"params"`
	ID     int      `json:"id"`
}

type reply struct {
	Result *string `json:"result"`
	Error  *string `json:"error"`
	ID     *int    `json:"id"`
}

// Call runs a command and returns what it prints. A refusal by the daemon is
// an [*Error]; after any other error the connection is closed.
func (c *Client) Call(ctx context.Context, command string, args ...string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if args == nil {
		args = []string{}
	}
	c.id++
	b, err := json.Marshal(request{Method: command, Params: args, ID: c.id})
	if err != nil {
		return "", fmt.Errorf("unixctl: %s: %w", command, err)
	}
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return "", fmt.Errorf("unixctl: %s: %w", command, err)
	}
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r, err := c.exchange(b)
	if err != nil {
		c.conn.Close()
		return "", fmt.Errorf("unixctl: %s: %w", command, errors.Join(ctx.Err(), err))
	}
	if r.Error != nil {
		return "", &Error{Command: command, Text: *r.Error}
	}
	if r.Result == nil {
		return "", nil
	}
	return *r.Result, nil
}

func (c *Client) exchange(b []byte) (reply, error) {
	var r reply
	if _, err := c.conn.Write(b); err != nil {
		return r, err
	}
	if err := c.decoder.Decode(&r); err != nil {
		return r, err
	}
	if r.ID == nil || *r.ID != c.id {
		return r, errors.New("answer to another command")
	}
	return r, nil
}

// Trace is ofproto/trace: the path of a packet, given as a flow in the syntax
// of ovs-fields(7), through a bridge.
func (c *Client) Trace(ctx context.Context, bridge, flow string) (string, error) {
	return c.Call(ctx, "ofproto/trace", bridge, flow)
}

// Gone reports whether an error means that the daemon does not run, or does
// not listen yet.
func Gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}
