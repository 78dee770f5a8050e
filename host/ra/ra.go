// Package ra is the hand for router advertisements: it sends them itself, from
// a raw socket on each device, as RFC 4861 and RFC 8106 say. Advertising ends
// with the agent, without a word: hosts keep their router until its lifetime of
// 300 s runs out, and the next agent speaks long before that.
package ra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"neutrino/host"
	"neutrino/reconcile"
)

// Options say where namespaces have their names.
type Options struct {
	// NetNSDir holds the names of namespaces, "/run/netns" when empty.
	NetNSDir string
}

// Hand advertises on devices. All methods may be called at the same time.
type Hand struct {
	o      Options
	pace   pace
	events chan struct{}
	kick   chan struct{}

	mu       sync.Mutex
	places   map[string]*place // namespaces with devices that advertise
	stations map[host.AdvertKey]*station
	watch    *watcher // nil before the first device
	closed   bool
}

// station is a device that shall advertise.
type station struct {
	advert  host.Advert
	content content
	sender  *sender // nil while it cannot
	failure error   // why it cannot
}

func (s *station) broken() error {
	if s.sender != nil {
		return s.sender.broken()
	}
	return s.failure
}

var (
	_ reconcile.Hand[host.AdvertKey, host.Advert] = (*Hand)(nil)

	errClosed = errors.New("ra: closed")
)

// New makes a hand. It does nothing before the first Apply.
func New(o Options) *Hand {
	o.NetNSDir = cmp.Or(o.NetNSDir, "/run/netns")
	return &Hand{o: o, pace: usualPace(), events: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		places: map[string]*place{}, stations: map[host.AdvertKey]*station{}}
}

// Same reports whether two adverts say the same and go out.
func Same(a, b host.Advert) bool {
	a.Why = b.Why
	return a == b
}

// Events signals that a device that advertised has vanished, cannot send any
// more, or can send again.
func (h *Hand) Events() <-chan struct{} { return h.events }

// Invalidate makes the next Read look at all devices again.
func (h *Hand) Invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.places {
		p.stale = true
	}
}

// Close ends all advertising without telling the hosts: they go on.
func (h *Hand) Close() {
	h.mu.Lock()
	h.closed = true
	for k := range h.stations {
		h.remove(k, end)
	}
	h.leave()
	w := h.watch
	h.mu.Unlock()
	if w != nil {
		w.stop()
	}
}

// Read returns what is advertised, with an Error where it cannot be sent.
func (h *Hand) Read(ctx context.Context) (map[host.AdvertKey]host.Advert, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.refresh(ctx); err != nil {
		return nil, fmt.Errorf("ra: %w", err)
	}
	out := make(map[host.AdvertKey]host.Advert, len(h.stations))
	for k, s := range h.stations {
		a := s.advert
		if err := s.broken(); err != nil {
			a.Error = err.Error()
		}
		out[k] = a
	}
	return out, nil
}

// Apply starts, changes and stops advertising. Where it stops, the hosts are
// told that the router is none any more.
func (h *Hand) Apply(ctx context.Context, d reconcile.Diff[host.AdvertKey, host.Advert]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errClosed
	}
	if _, err := h.refresh(ctx); err != nil {
		return fmt.Errorf("ra: %w", err)
	}
	for k := range d.Drop {
		h.remove(k, farewell)
	}
	var errs []error
	for name, keys := range byNamespace(d.Put) {
		p, devices, err := h.enter(name)
		for _, k := range keys {
			a, err := d.Put[k], err
			if err == nil {
				err = h.put(p, devices, k, a)
			}
			if err != nil {
				errs = append(errs, &host.ItemError{Item: item(k), Why: a.Why, Err: err})
			}
		}
	}
	h.leave()
	return errors.Join(errs...)
}

func item(k host.AdvertKey) string {
	return fmt.Sprintf("router advertisement on %s in namespace %q", k.Device, k.NetNS)
}

func byNamespace(m map[host.AdvertKey]host.Advert) map[string][]host.AdvertKey {
	out := map[string][]host.AdvertKey{}
	for _, k := range slices.SortedFunc(maps.Keys(m), func(a, b host.AdvertKey) int { return cmp.Compare(a.Device, b.Device) }) {
		out[k.NetNS] = append(out[k.NetNS], k)
	}
	return out
}

func (h *Hand) path(namespace string) string { return filepath.Join(h.o.NetNSDir, namespace) }

// enter is a namespace and its devices. The lock is held.
func (h *Hand) enter(name string) (*place, map[string]facts, error) {
	if h.watch == nil {
		w, err := watch(h)
		if err != nil {
			return nil, nil, err
		}
		h.watch = w
	}
	p := h.places[name]
	if p == nil {
		var err error
		if p, err = enter(name, h.path(name)); err != nil {
			return nil, nil, err
		}
		h.places[name] = p
		h.watch.follow(p)
	}
	devices, err := p.devices()
	return p, devices, err
}

// leave closes namespaces in which nothing advertises: an open one cannot end.
func (h *Hand) leave() {
	used := map[string]bool{}
	for k := range h.stations {
		used[k.NetNS] = true
	}
	for name, p := range h.places {
		if !used[name] {
			p.close()
			delete(h.places, name)
		}
	}
}

// put makes a device advertise.
func (h *Hand) put(p *place, devices map[string]facts, k host.AdvertKey, a host.Advert) error {
	a.Error = ""
	c, err := parse(a)
	if err != nil {
		h.remove(k, farewell) // what it said before is not wanted any more
		return err
	}
	f, there := devices[k.Device]
	if !there {
		h.remove(k, end)
		return &host.Absent{What: fmt.Sprintf("device %s in namespace %q", k.Device, k.NetNS)}
	}
	s := h.stations[k]
	if s == nil {
		s = &station{}
		h.stations[k] = s
	}
	before := s.advert
	before.Why = a.Why
	same := before == a
	s.advert, s.content = a, c
	if s.sender == nil {
		return h.start(p, k, f)
	}
	if !same {
		s.sender.change(c)
	}
	return s.broken()
}

// start gives a station its sender, or notes why it has none.
func (h *Hand) start(p *place, k host.AdvertKey, f facts) error {
	s := h.stations[k]
	s.failure = nil
	if !f.source.IsValid() {
		s.failure = &host.Absent{What: fmt.Sprintf("link-local address of %s in namespace %q", k.Device, k.NetNS)}
		return s.failure
	}
	s.failure = p.in(func() error {
		socket, err := dial(k.Device, f)
		if err == nil {
			s.sender = newSender(socket, f, s.content, h)
		}
		return err
	})
	return s.failure
}

// remove ends a station.
func (h *Hand) remove(k host.AdvertKey, how order) {
	if s := h.stations[k]; s != nil {
		if s.sender != nil {
			s.sender.stop(how)
		}
		delete(h.stations, k)
	}
}

// refresh looks at the devices of namespaces in which something changed, and
// reports whether that changed anything for a station. The lock is held.
func (h *Hand) refresh(ctx context.Context) (changed bool, err error) {
	for name, p := range h.places {
		if err := ctx.Err(); err != nil {
			return changed, err
		}
		if !p.stale {
			continue
		}
		devices := map[string]facts{} // none where the namespace is gone
		if p.current(h.path(name)) {
			p.stale = false
			if devices, err = p.devices(); err != nil {
				p.stale = true
				return changed, err
			}
		}
		for k := range h.stations {
			if k.NetNS == name && h.meet(p, k, devices) {
				changed = true
			}
		}
	}
	h.leave()
	return changed, nil
}

// meet brings a station in line with its device, and reports whether that
// changed anything.
func (h *Hand) meet(p *place, k host.AdvertKey, devices map[string]facts) bool {
	s := h.stations[k]
	f, there := devices[k.Device]
	if !there || s.sender != nil && s.sender.facts.index != f.index {
		h.remove(k, end)
		return true
	}
	if s.sender != nil && s.sender.facts.equal(f) {
		return false
	}
	worked := s.broken() == nil
	if s.sender != nil {
		s.sender.stop(end)
		s.sender = nil
	}
	return (h.start(p, k, f) == nil) != worked
}

func (h *Hand) signal() {
	select {
	case h.events <- struct{}{}:
	default:
	}
}
