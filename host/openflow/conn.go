package openflow

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// conn is a connection to one bridge's management socket.
type conn struct {
	nc     net.Conn
	notify func() // something happened that nobody waits for
	closed chan struct{}

	writing sync.Mutex
	w       *bufio.Writer

	mu      sync.Mutex
	err     error
	xid     uint32
	calls   []*call
	updates []message // flow monitor and port status, not looked at yet
	lost    bool      // too many updates were not looked at: read everything again
}

// call collects the replies to a range of transaction ids. Its queue has no
// bound of its own: the reader must never wait for a writer.
type call struct {
	first, last uint32
	mu          sync.Mutex
	queue       []message
	ready       chan struct{}
}

const (
	keepalive  = 5 * time.Second
	aliveWait  = 15 * time.Second
	maxUpdates = 4096
)

var errClosed = errors.New("connection is closed")

// dial connects and agrees on OpenFlow 1.4.
func dial(ctx context.Context, path string, notify func()) (*conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	c := &conn{nc: nc, notify: notify, closed: make(chan struct{}), w: bufio.NewWriterSize(nc, 64<<10), xid: 2}
	if err := c.hello(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	go c.read()
	go c.keepAlive()
	return c, nil
}

func (c *conn) hello(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.nc.Write(helloMessage(1)); err != nil {
		return err
	}
	m, err := readMessage(c.nc)
	if err != nil {
		return err
	}
	if m.kind == typeHello {
		// The switch checks our versions after it has sent its own: a refusal
		// would be the answer to the next request.
		return nil
	}
	return fmt.Errorf("no agreement on OpenFlow 1.4: %w", wrongReply(m))
}

func readMessage(r io.Reader) (message, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return message{}, err
	}
	size := int(binary.BigEndian.Uint16(h[2:]))
	if size < headerLen {
		return message{}, errShort
	}
	m := message{kind: h[1], xid: binary.BigEndian.Uint32(h[4:]), body: make([]byte, size-headerLen)}
	_, err := io.ReadFull(r, m.body)
	return m, err
}

// read hands every message on until the connection ends.
func (c *conn) read() {
	r := bufio.NewReaderSize(c.nc, 256<<10)
	for {
		m, err := readMessage(r)
		if err != nil {
			c.fail(err)
			return
		}
		switch {
		case m.kind == typeEchoRequest:
			// Not from here: the writer may wait for us to read.
			go c.send(finish(append(begin(nil, typeEchoReply, m.xid), m.body...), 0))
		case m.kind == typeError && decodeError(m.body).Type == errorHello:
			c.fail(fmt.Errorf("no agreement on OpenFlow 1.4: %w", decodeError(m.body)))
			return
		case m.kind == typePortStatus, isMonitor(m) && !c.deliver(m):
			c.keep(m)
		case isMonitor(m):
		default:
			c.deliver(m)
		}
	}
}

func isMonitor(m message) bool {
	return m.kind == typeMultipartRe && len(m.body) >= 2 && binary.BigEndian.Uint16(m.body) == partFlowMonitor
}

// keep stores an asynchronous message for the next Read, and says so unless it
// only tells of our own change.
func (c *conn) keep(m message) {
	if m.kind == typeMultipartRe {
		foreign := false
		lost, err := foreignUpdate(m.body[min(8, len(m.body)):], func(rawFlow) { foreign = true })
		if err == nil && !lost && !foreign {
			return
		}
	}
	c.mu.Lock()
	if len(c.updates) < maxUpdates {
		c.updates = append(c.updates, m)
	} else {
		c.lost = true
	}
	c.mu.Unlock()
	c.notify()
}

// takeUpdates returns what came unasked since the last call; lost means that
// some of it was not kept.
func (c *conn) takeUpdates() (updates []message, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	updates, lost = c.updates, c.lost
	c.updates, c.lost = nil, false
	return updates, lost
}

// deliver gives a reply to the call that waits for it.
func (c *conn) deliver(m message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.calls {
		// Unsigned, so that a range may wrap around.
		if m.xid-k.first <= k.last-k.first {
			k.mu.Lock()
			k.queue = append(k.queue, m)
			k.mu.Unlock()
			select {
			case k.ready <- struct{}{}:
			default:
			}
			return true
		}
	}
	return false
}

// call reserves n transaction ids and collects their replies until done.
func (c *conn) call(n int) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.xid > 0xffffffff-uint32(n) { // 0 is the switch's
		c.xid = 1
	}
	k := &call{first: c.xid, last: c.xid + uint32(n) - 1, ready: make(chan struct{}, 1)}
	c.xid += uint32(n)
	c.calls = append(c.calls, k)
	return k
}

func (c *conn) done(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.calls {
		if c.calls[i] == k {
			c.calls = append(c.calls[:i], c.calls[i+1:]...)
			return
		}
	}
}

// next is the next reply to a call.
func (c *conn) next(ctx context.Context, k *call) (message, error) {
	for {
		k.mu.Lock()
		if len(k.queue) > 0 {
			m := k.queue[0]
			k.queue = k.queue[1:]
			k.mu.Unlock()
			return m, nil
		}
		k.mu.Unlock()
		select {
		case <-k.ready:
		case <-c.closed:
			return message{}, c.reason()
		case <-ctx.Done():
			return message{}, ctx.Err()
		}
	}
}

func (c *conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// send writes messages and flushes them.
func (c *conn) send(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := c.w.Write(b); err != nil {
		return err
	}
	return c.w.Flush()
}

// sendWithin is send under a context: when the context ends in the midst of a
// write, the connection is of no use any more and is closed.
func (c *conn) sendWithin(ctx context.Context, b []byte) error {
	stop := context.AfterFunc(ctx, func() { c.close() })
	defer stop()
	err := c.send(b)
	if err == nil {
		return nil
	}
	// What the switch said before it closed is worth more than "broken pipe".
	select {
	case <-c.closed:
		err = c.reason()
	case <-ctx.Done():
	}
	return errors.Join(err, ctx.Err())
}

// ask sends one request and waits for its one reply.
func (c *conn) ask(ctx context.Context, kind uint8, request func(xid uint32) []byte) (message, error) {
	k := c.call(1)
	defer c.done(k)
	if err := c.sendWithin(ctx, request(k.first)); err != nil {
		return message{}, err
	}
	m, err := c.next(ctx, k)
	if err == nil && m.kind != kind {
		err = wrongReply(m)
	}
	return m, err
}

// multipart sends a request and calls each with the body of every part of the reply.
func (c *conn) multipart(ctx context.Context, part uint16, body []byte, each func([]byte) error) error {
	k := c.call(1)
	defer c.done(k)
	if err := c.sendWithin(ctx, multipartMessage(k.first, part, body)); err != nil {
		return err
	}
	for {
		m, err := c.next(ctx, k)
		if err != nil {
			return err
		}
		if m.kind != typeMultipartRe {
			return wrongReply(m)
		}
		if len(m.body) < 8 || binary.BigEndian.Uint16(m.body) != part {
			return errors.New("malformed multipart reply")
		}
		if err := each(m.body[8:]); err != nil {
			return err
		}
		if m.body[3]&1 == 0 {
			return nil
		}
	}
}

// keepAlive notices a switch that is there and does not answer.
func (c *conn) keepAlive() {
	tick := time.NewTicker(keepalive)
	defer tick.Stop()
	for {
		select {
		case <-c.closed:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), aliveWait)
		_, err := c.ask(ctx, typeEchoReply, func(xid uint32) []byte { return finish(begin(nil, typeEchoRequest, xid), 0) })
		cancel()
		if err != nil {
			c.fail(fmt.Errorf("no answer to an echo: %w", err))
			return
		}
	}
}

// fail ends the connection for a reason, once.
func (c *conn) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
		close(c.closed)
	}
	c.mu.Unlock()
	c.nc.Close()
	if first {
		c.notify()
	}
}

func (c *conn) close() { c.fail(errClosed) }

func (c *conn) alive() bool { return c.reason() == nil }
