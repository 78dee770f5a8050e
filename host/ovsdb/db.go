// Package ovsdb is the hand on Open vSwitch's configuration database
// (ovs-vswitchd.conf.db(5), RFC 7047): bridges and ports of ours, and the
// wiring of the interfaces that others plug into our integration bridge. It
// follows the database with one monitor and writes with one transaction for
// each batch.
package ovsdb

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Timings of the connection to the database.
const (
	callTimeout   = 10 * time.Second      // for a reply of ovsdb-server
	takeUpTimeout = 2 * time.Second       // for ovs-vswitchd to take up what was written
	backoffFirst  = 50 * time.Millisecond // between attempts to connect
	backoffMost   = 5 * time.Second
)

// The keys in external_ids that say what is ours.
const (
	markOwner  = "neutrino"         // Bridge, Port: the object that the row is for
	markMade   = "neutrino-made"    // Bridge: we made the row, nobody else did
	markKeys   = "neutrino-keys"    // Bridge: other_config keys of ours, comma separated
	markDevice = "neutrino-ifindex" // Port: index of the device that it was added with
	markVIF    = "neutrino-vif"     // Port of a VIF: the same for a VIF that a plan has
)

// Options say which database the hand works on.
type Options struct {
	// Socket is the server's address, "unix:/run/openvswitch/db.sock" when empty.
	Socket string
	// IntegrationBridge is where VIFs are looked for, "br-int" when empty.
	IntegrationBridge string
	// Logger gets lost and regained connections, [slog.Default] when nil.
	Logger *slog.Logger
}

// DB is the hand on one Open vSwitch database. [DB.Run] has to run for
// anything else to work; all methods may be called at the same time.
type DB struct {
	options Options
	events  chan struct{}
	redial  chan struct{}

	mu      sync.Mutex
	conn    *conn
	err     error         // why there is no connection
	settled chan struct{} // closed when the attempt to connect is over
	wake    chan struct{} // closed at the next update
	cache   *cache
	touched map[string]bool // rows of our transaction that is under way
	invalid bool            // the connection was ended by Invalidate
}

// New is a hand that does nothing until [DB.Run].
func New(o Options) *DB {
	if o.Socket == "" {
		o.Socket = "unix:/run/openvswitch/db.sock"
	}
	if o.IntegrationBridge == "" {
		o.IntegrationBridge = "br-int"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &DB{options: o, events: make(chan struct{}, 1), redial: make(chan struct{}, 1),
		settled: make(chan struct{}), wake: make(chan struct{}), cache: newCache()}
}

// Run keeps the connection for ever, until the context ends. Every new
// connection reads everything again.
func (d *DB) Run(ctx context.Context) error {
	backoff, down := backoffFirst, false
	for ctx.Err() == nil {
		began := time.Now()
		connected, err := d.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if connected && time.Since(began) > backoffMost {
			backoff = backoffFirst
		}
		if d.lost(connected, err) {
			continue // Invalidate: again at once
		}
		if connected || !down {
			d.options.Logger.Warn("ovsdb: no connection, trying again", "socket", d.options.Socket, "error", err)
		}
		down = true
		select {
		case <-ctx.Done():
		case <-d.redial:
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, backoffMost)
	}
	d.mu.Lock()
	d.settle(nil, ctx.Err())
	d.mu.Unlock()
	return ctx.Err()
}

// session is one connection from dial to end.
func (d *DB) session(ctx context.Context) (connected bool, err error) {
	c, err := dial(ctx, d.options.Socket)
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- c.serve(d.update) }()
	tables := map[string]any{}
	for table, columns := range monitored() {
		tables[table] = []any{map[string]any{"columns": columns}}
	}
	dump, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = c.call(dump, request{Method: "monitor", Params: []any{tableRoot, "neutrino", tables}}, func(r json.RawMessage) error {
		return d.filled(c, r)
	})
	if err != nil {
		c.close()
		<-served
		return false, fmt.Errorf("ovsdb: monitor: %w", err)
	}
	return true, <-served
}

// filled takes the first dump of a connection.
func (d *DB) filled(c *conn, dump json.RawMessage) error {
	fresh := newCache()
	if _, err := fresh.apply(dump); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	same := d.invalid && d.cache.same(fresh)
	d.cache, d.invalid = fresh, false
	d.settle(c, nil)
	d.stir()
	if !same {
		d.signal()
	}
	return nil
}

// settle ends an attempt; Read and Apply that wait for it go on.
func (d *DB) settle(c *conn, err error) {
	d.conn, d.err = c, err
	select {
	case <-d.settled:
	default:
		close(d.settled)
	}
}

// lost notes the end of a connection or of an attempt, and reports whether we
// ended it ourselves.
func (d *DB) lost(connected bool, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.touched = nil
	if !connected {
		d.invalid = false
		d.settle(nil, err)
		return false
	}
	d.conn, d.err = nil, err
	d.unsettle()
	d.stir()
	return d.invalid
}

func (d *DB) unsettle() {
	select {
	case <-d.settled:
		d.settled = make(chan struct{})
	default:
	}
}

// update takes in a change, and raises an event unless it is our own.
func (d *DB) update(params json.RawMessage) error {
	var p []json.RawMessage
	if err := json.Unmarshal(params, &p); err != nil || len(p) != 2 {
		return fmt.Errorf("ovsdb: update of %d parts: %v", len(p), err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	changes, err := d.cache.apply(p[1])
	if err != nil {
		return err
	}
	for _, ch := range changes {
		own := d.touched[ch.uuid] || d.touched[ch.table+"/"+ch.name]
		if !own || ch.status {
			d.signal()
		}
	}
	d.stir()
	return nil
}

func (d *DB) signal() {
	select {
	case d.events <- struct{}{}:
	default:
	}
}

func (d *DB) stir() {
	close(d.wake)
	d.wake = make(chan struct{})
}

// Events gets a value, without pressing, when somebody else changed something
// that the hand reads: a row of theirs or ours, ovs-vswitchd's answer to what
// was written, a new connection. What [DB] writes itself raises none.
func (d *DB) Events() <-chan struct{} { return d.events }

// Invalidate makes the next Read come from a fresh dump of the database.
func (d *DB) Invalidate() {
	d.mu.Lock()
	c := d.conn
	if c != nil {
		d.invalid = true
		d.conn = nil
		d.unsettle()
	}
	d.mu.Unlock()
	if c != nil {
		c.close()
		return
	}
	select {
	case d.redial <- struct{}{}:
	default:
	}
}

// connection is the connection, with the lock held on success. While an
// attempt to connect is under way it waits for its end.
func (d *DB) connection(ctx context.Context) (*conn, error) {
	for {
		d.mu.Lock()
		if d.conn != nil {
			return d.conn, nil
		}
		settled, err := d.settled, d.err
		over := false
		select {
		case <-settled:
			over = true
		default:
		}
		d.mu.Unlock()
		if over {
			return nil, fmt.Errorf("ovsdb: no connection to %s: %w", d.options.Socket, err)
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return nil, fmt.Errorf("ovsdb: no connection to %s: %w", d.options.Socket, ctx.Err())
		}
	}
}

// await waits, at most [takeUpTimeout], until the cache is as asked. It looks
// again at every update.
func (d *DB) await(ctx context.Context, ok func(*cache) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, takeUpTimeout)
	defer cancel()
	for {
		d.mu.Lock()
		done, wake := ok(d.cache), d.wake
		d.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return false
		}
	}
}
