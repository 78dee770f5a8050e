package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// writeTimeout bounds one write to the server's socket: a server that does not
// read for so long is as good as gone.
const writeTimeout = 5 * time.Second

// errClosed is what calls get that were under way when the connection went.
var errClosed = errors.New("connection closed")

// message is any JSON-RPC 1.0 message (RFC 7047 section 4): a request has a
// method and an id, a notification a method and no id, a reply no method.
type message struct {
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
	ID     json.RawMessage `json:"id"`
}

type request struct {
	Method string `json:"method"`
	Params any    `json:"params"`
	ID     uint64 `json:"id"`
}

// conn is one connection to an OVSDB server. What arrives is handled by the
// one goroutine of serve, in the order of arrival: the server sends the
// updates of a transaction before its reply, so a caller that has its reply
// finds its own writes in the cache.
type conn struct {
	nc net.Conn
	// writing is held for one message. It is not mu: while the server has
	// something for us it reads nothing, so a writer may wait for the reader.
	writing sync.Mutex

	mu      sync.Mutex
	next    uint64
	pending map[uint64]func(result json.RawMessage, err error)
	closed  bool
}

// dial connects to "unix:<path>" or "tcp:<host>:<port>".
func dial(ctx context.Context, remote string) (*conn, error) {
	network, address, ok := strings.Cut(remote, ":")
	if !ok || network != "unix" && network != "tcp" {
		return nil, fmt.Errorf("ovsdb: remote %q is neither unix:<path> nor tcp:<host>:<port>", remote)
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("ovsdb: connect: %w", err)
	}
	return &conn{nc: nc, pending: map[uint64]func(json.RawMessage, error){}}, nil
}

// serve reads until the connection ends and says why it ended.
func (c *conn) serve(update func(params json.RawMessage) error) error {
	defer c.close()
	dec := json.NewDecoder(c.nc)
	for {
		var m message
		if err := dec.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				err = errClosed
			}
			return fmt.Errorf("ovsdb: read: %w", err)
		}
		var err error
		switch m.Method {
		case "":
			c.reply(m)
		case "echo":
			// Apart, because the reader must not wait for a writer. One that fails
			// ends the connection all the same: the server hears no answer.
			go func() { _ = c.write(map[string]any{"result": m.Params, "error": nil, "id": m.ID}) }()
		case "update":
			err = update(m.Params)
		}
		if err != nil {
			return err
		}
	}
}

func (c *conn) reply(m message) {
	var id uint64
	if json.Unmarshal(m.ID, &id) != nil {
		return
	}
	c.mu.Lock()
	handle := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if handle == nil {
		return // its caller gave up
	}
	if len(m.Error) > 0 && string(m.Error) != "null" {
		handle(nil, fmt.Errorf("ovsdb: server: %s", m.Error))
		return
	}
	handle(m.Result, nil)
}

// call sends a request and waits for the reply, which handle gets first, on
// the goroutine that reads: before any later update.
func (c *conn) call(ctx context.Context, r request, handle func(result json.RawMessage) error) error {
	done := make(chan error, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return fmt.Errorf("ovsdb: %s: %w", r.Method, errClosed)
	}
	c.next++
	r.ID = c.next
	c.pending[r.ID] = func(result json.RawMessage, err error) {
		if err == nil {
			err = handle(result)
		}
		done <- err
	}
	c.mu.Unlock()
	if err := c.write(r); err != nil {
		c.close()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		// What becomes of the request is unknown now: end the connection, so
		// that everything is read again.
		c.close()
		return fmt.Errorf("ovsdb: %s: %w", r.Method, ctx.Err())
	}
}

func (c *conn) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("ovsdb: encode: %w", err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.nc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("ovsdb: write: %w", err)
	}
	if _, err := c.nc.Write(b); err != nil {
		return fmt.Errorf("ovsdb: write: %w", err)
	}
	return nil
}

func (c *conn) close() {
	c.mu.Lock()
	pending := c.pending
	c.pending = map[uint64]func(json.RawMessage, error){}
	c.closed = true
	c.mu.Unlock()
	_ = c.nc.Close()
	for _, handle := range pending {
		handle(nil, fmt.Errorf("ovsdb: %w", errClosed))
	}
}
