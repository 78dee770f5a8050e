package metadata

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"neutrino/host"
	"neutrino/reconcile"
)

// Hand keeps the listening sockets of the service and serves all of them in
// this process. A socket belongs to the namespace that it was opened in, from
// whatever thread it is used.
type Hand struct {
	options Options
	events  chan struct{}
	server  *http.Server
	serving sync.WaitGroup
	counts  *counts
	handler *handler
	close   func() // of what the handler holds

	pace probePace

	mu     sync.Mutex
	closed bool
	open   map[host.ListenerKey]*listener
	silent map[host.ListenerKey]silence // those that do not answer
}

var _ reconcile.Hand[host.ListenerKey, host.Listener] = (*Hand)(nil)

// New makes a hand that listens nowhere yet.
func New(o Options) *Hand {
	o = o.withDefaults()
	h := &Hand{
		options: o, events: make(chan struct{}, 1), counts: newCounts(), open: map[host.ListenerKey]*listener{},
		silent: map[host.ListenerKey]silence{}, pace: usualPace(),
	}
	h.handler, h.close = newHandler(o, h.signal)
	h.server = &http.Server{
		Handler: h.handler, ConnContext: withConn, MaxHeaderBytes: o.Limits.HeaderBytes,
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout,
		ErrorLog: quietLog(o.Logger),
	}
	return h
}

// How long an instance may take. Writing waits for Nova too.
const (
	readTimeout  = 30 * time.Second
	idleTimeout  = 30 * time.Second
	writeTimeout = 2 * DefaultNovaTimeout
)

// Events gets a value, without pressing, when a socket stopped accepting, and
// when the findings have changed.
func (h *Hand) Events() <-chan struct{} { return h.events }

// Read returns the sockets that are open. One whose namespace is gone, or is
// another one under the same name, is closed and left out.
func (h *Hand) Read(context.Context) (map[host.ListenerKey]host.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[host.ListenerKey]host.Listener, len(h.open))
	for k, l := range h.open {
		if id, err := h.identify(k.NetNS); err != nil || id != l.namespace || l.dead() {
			h.drop(k)
			continue
		}
		out[k] = l.wanted
	}
	return out, nil
}

// Apply opens and closes sockets. Closing one ends its connections.
func (h *Hand) Apply(_ context.Context, d reconcile.Diff[host.ListenerKey, host.Listener]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k := range d.Drop {
		h.drop(k)
		delete(h.silent, k)
	}
	var errs []error
	for k, v := range d.Put {
		h.drop(k)
		if err := h.put(k, v); err != nil {
			item := fmt.Sprintf("listener %s in %q", k.Address, k.NetNS)
			errs = append(errs, &host.ItemError{Item: item, Why: v.Why, Err: err})
		}
	}
	return errors.Join(errs...)
}

func (h *Hand) put(k host.ListenerKey, v host.Listener) error {
	if h.closed {
		return net.ErrClosed
	}
	id, err := h.identify(k.NetNS)
	if err != nil {
		return err
	}
	r, err := h.resolverFor(k.NetNS, v)
	if err != nil {
		return err
	}
	ln, err := h.listen(k)
	if err != nil {
		r.close()
		return err
	}
	// A namespace that was replaced meanwhile is noticed by the next Read.
	l := &listener{Listener: ln, limits: h.options.Limits, wanted: v, namespace: id, broken: make(chan struct{}),
		conns: map[*conn]bool{}, counts: h.counts, resolver: r}
	h.open[k] = l
	h.serving.Go(func() {
		err := h.server.Serve(l)
		close(l.broken)
		if !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			h.options.Logger.Warn("metadata: socket stopped accepting", "namespace", k.NetNS, "address", k.Address, "error", err)
			h.signal()
		}
	})
	return nil
}

func (h *Hand) signal() {
	select {
	case h.events <- struct{}{}:
	default:
	}
}

func (h *Hand) drop(k host.ListenerKey) {
	if l := h.open[k]; l != nil {
		l.end()
		delete(h.open, k)
	}
}

// Close ends all sockets and connections and waits until nothing is served.
func (h *Hand) Close() {
	h.mu.Lock()
	h.closed = true
	for k := range h.open {
		h.drop(k)
	}
	h.mu.Unlock()
	_ = h.server.Close() // the listeners are closed already
	h.serving.Wait()
	h.close()
}
