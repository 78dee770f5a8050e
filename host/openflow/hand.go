package openflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"sync"
	"time"

	"neutrino/host"
	"neutrino/reconcile"
)

// Options say which bridges the hand works on.
type Options struct {
	// RunDir is where ovs-vswitchd has its sockets, "/var/run/openvswitch".
	RunDir string
	// Bridges are the bridges of ours, now: every flow in them is ours.
	Bridges func() []string
	// Shared are bridges of an operator: ours are the flows whose cookie has
	// our mark, and a match that another flow has already is not taken. May be nil.
	Shared func() []string
	// Timeout bounds one exchange with a switch; 0 for 10 seconds.
	Timeout time.Duration
}

const (
	defaultTimeout = 10 * time.Second
	awaitPeriod    = 50 * time.Millisecond
)

// Hand reads and writes the flows of the bridges.
type Hand struct {
	options Options
	texts   templates
	events  chan struct{}
	closing chan struct{}
	waiters sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	bridges  map[string]*bridge
	awaited  map[string]bool // bridges that a goroutine waits for
	snapshot map[host.FlowKey]host.Flow
}

var _ reconcile.Hand[host.FlowKey, host.Flow] = (*Hand)(nil)

// New makes a hand. It connects when it is first read.
func New(o Options) *Hand {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return &Hand{
		options: o, texts: templates{m: map[templateKey]*templateEntry{}},
		events: make(chan struct{}, 1), closing: make(chan struct{}),
		bridges: map[string]*bridge{}, awaited: map[string]bool{},
	}
}

// Events has a value when somebody else wrote flows, a port came or went, or a
// bridge was lost or is back: read again.
func (h *Hand) Events() <-chan struct{} { return h.events }

func (h *Hand) notify() {
	select {
	case h.events <- struct{}{}:
	default:
	}
}

// Invalidate has the next Read read every flow from the switches.
func (h *Hand) Invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.bridges {
		b.stale = true
	}
}

// Close ends the connections. The flows stay.
func (h *Hand) Close() {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.closing)
	}
	for _, b := range h.bridges {
		b.reset()
	}
	h.mu.Unlock()
	h.waiters.Wait()
}

// Read returns the flows that are ours, in canonical text. Ours is every flow
// of the bridges of ours, and on shared bridges every flow with our mark. A
// bridge that cannot be reached has no flows here; Apply says why. The map is
// shared: do not change it.
func (h *Hand) Read(ctx context.Context) (map[host.FlowKey]host.Flow, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errors.New("openflow: hand is closed")
	}
	changed := h.choose()
	for _, b := range h.bridges {
		within, cancel := context.WithTimeout(ctx, h.options.Timeout)
		different, err := b.refresh(within)
		cancel()
		changed = changed || different
		if ctx.Err() != nil {
			h.snapshot = nil
			return nil, fmt.Errorf("openflow: read %s: %w", b.name, ctx.Err())
		}
		b.err = err
		var absent *host.Absent
		if errors.As(err, &absent) {
			h.await(b)
		}
	}
	if h.snapshot == nil || changed {
		h.snapshot = h.copy()
	}
	return h.snapshot, nil
}

// choose follows the lists of bridges; changed is whether any came or went.
func (h *Hand) choose() (changed bool) {
	wanted := map[string]bool{}
	for _, name := range h.options.Bridges() {
		wanted[name] = false
	}
	if h.options.Shared != nil {
		for _, name := range h.options.Shared() {
			wanted[name] = true
		}
	}
	maps.DeleteFunc(h.bridges, func(name string, b *bridge) bool {
		shared, ok := wanted[name]
		gone := !ok || shared != b.shared
		if gone {
			b.reset()
			changed = true
		}
		return gone
	})
	for name, shared := range wanted {
		if h.bridges[name] == nil {
			changed = true
			h.bridges[name] = &bridge{name: name, socket: h.socket(name), shared: shared, notify: h.notify, stale: true}
		}
	}
	return changed
}

func (h *Hand) socket(bridge string) string {
	return filepath.Join(h.options.RunDir, bridge+".mgmt")
}

func (h *Hand) copy() map[host.FlowKey]host.Flow {
	n := 0
	for _, b := range h.bridges {
		n += len(b.flows)
	}
	all := make(map[host.FlowKey]host.Flow, n)
	for _, b := range h.bridges {
		for k, e := range b.flows {
			all[k] = e.flow
		}
	}
	return all
}

// await fires an event once the bridge's socket answers.
func (h *Hand) await(b *bridge) {
	if h.awaited[b.name] {
		return
	}
	h.awaited[b.name] = true
	name, socket := b.name, b.socket
	h.waiters.Go(func() {
		tick := time.NewTicker(awaitPeriod)
		defer tick.Stop()
		for {
			select {
			case <-h.closing:
				return
			case <-tick.C:
			}
			h.mu.Lock()
			wanted := h.bridges[name] != nil
			h.mu.Unlock()
			if c, err := net.Dial("unix", socket); err == nil || !wanted {
				if err == nil {
					c.Close()
				}
				break
			}
		}
		h.mu.Lock()
		delete(h.awaited, name)
		h.mu.Unlock()
		h.notify()
	})
}

// Canonicalise gives flows the canonical text that Read returns, so that the
// two can be compared. Flows whose text is not understood stay as they are and
// are named by the error, one host.ItemError each; Apply names them too. Texts
// seen before cost a look-up.
func (h *Hand) Canonicalise(flows map[host.FlowKey]host.Flow) (map[host.FlowKey]host.Flow, error) {
	out, errs := h.texts.canonicalise(flows)
	return out, errors.Join(errs...)
}

// ByCookie is the flow that has a cookie, as last read or written. The flow's
// Why is known when this process wrote it; [Stamp] finds it in a plan.
func (h *Hand) ByCookie(cookie uint64) (host.FlowKey, host.Flow, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.bridges {
		for k, e := range b.flows {
			if e.cookie == cookie {
				return k, e.flow, true
			}
		}
	}
	return host.FlowKey{}, host.Flow{}, false
}

// Stamp is the cookie that a flow has or would have now. The error says what
// is wrong with its text, or is a host.Absent for a port or bridge.
func (h *Hand) Stamp(k host.FlowKey, f host.Flow) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.bridges[k.Bridge]
	if b == nil || b.numbers == nil {
		return 0, &host.Absent{What: "bridge " + k.Bridge}
	}
	t, err := h.template(k, f)
	if err != nil {
		return 0, err
	}
	_, numbers, missing := t.resolve(b.numbers)
	if missing != "" {
		return 0, &host.Absent{What: "interface " + missing}
	}
	k.Match = t.match
	return stamp(k, t.actions, numbers), nil
}

func (h *Hand) template(k host.FlowKey, f host.Flow) (*template, error) {
	h.texts.mu.Lock()
	defer h.texts.mu.Unlock()
	return h.texts.get(k, f.Actions)
}

// Apply makes the change, on each bridge as one atomic bundle, puts before
// drops. Flows that name a port or a bridge that is not there are held back
// with a host.Absent; flows that the switch refuses are left out of the bundle
// and returned with its reason. Every failure is a host.ItemError.
func (h *Hand) Apply(ctx context.Context, d reconcile.Diff[host.FlowKey, host.Flow]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("openflow: hand is closed")
	}
	for _, b := range h.bridges {
		if b.conn == nil {
			continue
		}
		if err := b.absorb(); err != nil {
			b.reset()
			b.err = b.failure(err)
			h.notify()
		}
	}
	changes, errs := h.puts(d.Put)
	for k, f := range d.Drop {
		if b := h.bridges[k.Bridge]; b != nil && b.conn != nil {
			if ch := b.drop(k, f); ch != nil {
				changes[b] = append(changes[b], ch)
			}
		}
	}
	for b, list := range changes {
		within, cancel := context.WithTimeout(ctx, h.options.Timeout)
		errs = append(errs, b.apply(within, list)...)
		cancel()
		h.snapshot = nil
	}
	return errors.Join(errs...)
}

func (h *Hand) puts(flows map[host.FlowKey]host.Flow) (map[*bridge][]*change, []error) {
	changes := map[*bridge][]*change{}
	var errs []error
	h.texts.mu.Lock()
	defer h.texts.mu.Unlock()
	for k, f := range flows {
		ch, b, err := h.one(k, f)
		if err != nil {
			errs = append(errs, itemError(k, f.Why, err))
			continue
		}
		changes[b] = append(changes[b], ch)
	}
	return changes, errs
}

func (h *Hand) one(k host.FlowKey, f host.Flow) (*change, *bridge, error) {
	t, err := h.texts.get(k, f.Actions)
	if err != nil {
		return nil, nil, err
	}
	b := h.bridges[k.Bridge]
	switch {
	case b == nil:
		return nil, nil, fmt.Errorf("%s is not a bridge of ours", k.Bridge)
	case b.conn == nil && b.err != nil:
		return nil, nil, b.err
	case b.conn == nil:
		return nil, nil, &host.Absent{What: "bridge " + k.Bridge}
	}
	ch, err := b.put(k, f, t)
	return ch, b, err
}
