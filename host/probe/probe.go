// Package probe asks the stations of a link what a plan wants to know of them:
// whether one of them has an address of ours too, and whether the gateway is
// there. It asks from raw sockets and never answers; what it finds holds
// nothing back.
package probe

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"neutrino/host"
)

// Options say where namespaces have their names.
type Options struct {
	// NetNSDir holds the names of namespaces, "/run/netns" when empty.
	NetNSDir string
}

// Watch puts the questions of a plan, from [Watch.Run]. All methods may be
// called at the same time, and none but Run waits for anything.
type Watch struct {
	dir    string
	pace   pace
	events chan struct{}
	wake   chan struct{}
	heard  sync.WaitGroup // goroutines that listen

	mu      sync.Mutex
	courses map[host.ProbeKey]*course
	ears    map[earKey]*ear
	running bool
}

// New makes a watch that asks nothing before Run.
func New(o Options) *Watch {
	return &Watch{dir: cmp.Or(o.NetNSDir, "/run/netns"), pace: usualPace(), events: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		courses: map[host.ProbeKey]*course{}, ears: map[earKey]*ear{}}
}

// Events signals that the findings have changed.
func (w *Watch) Events() <-chan struct{} { return w.events }

// Findings are what is wrong now, by object.
func (w *Watch) Findings() []host.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []host.Finding
	for k, c := range w.courses {
		if reason := c.reason(k); reason != "" {
			out = append(out, host.Finding{Object: c.probe.Why.Object, Reason: reason})
		}
	}
	slices.SortFunc(out, func(a, b host.Finding) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Reason, b.Reason))
	})
	return slices.Compact(out)
}

// Expect takes in the questions of a new plan. What is asked no more is
// forgotten at once, with its sockets: a namespace must be able to end.
func (w *Watch) Expect(s *host.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, c := range w.courses {
		if _, stays := s.Probes[k]; !stays {
			delete(w.courses, k)
			if c.reason(k) != "" {
				signal(w.events)
			}
		}
	}
	for k, p := range s.Probes {
		c := w.courses[k]
		if c == nil {
			address, err := netip.ParseAddr(k.Address)
			if err != nil {
				continue // a plan's addresses are addresses
			}
			c = &course{kind: k.Kind, address: address, next: time.Now().Add(random(w.pace.first)), fresh: true}
			w.courses[k] = c
		}
		c.probe = p
	}
	w.tidy()
	signal(w.wake)
}

// tidy closes the sockets that nobody needs. The lock is held.
func (w *Watch) tidy() {
	used := map[earKey]bool{}
	for k, c := range w.courses {
		used[place(k, c.address)] = w.running
	}
	for k, e := range w.ears {
		if !used[k] {
			w.lose(k, e)
		}
	}
}

// lose closes a socket; the next question opens another one. The lock is held.
func (w *Watch) lose(k earKey, e *ear) {
	e.close()
	if w.ears[k] == e {
		delete(w.ears, k)
	}
}

// Run asks until the context ends. It begins a little later, so that a host
// which has lost something while it was away has been told.
func (w *Watch) Run(ctx context.Context) error {
	defer w.end()
	if !pause(ctx, w.pace.settle) {
		return nil
	}
	w.mu.Lock()
	w.running = true
	w.mu.Unlock()
	for {
		w.look()
		due, next := w.due(time.Now())
		for _, k := range due {
			if w.ask(k) && !pause(ctx, w.pace.gap) {
				return nil
			}
		}
		if len(due) > 0 && ctx.Err() == nil {
			continue // what comes next has changed
		}
		timer := time.NewTimer(min(time.Until(next), lookTime))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-w.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// end closes all sockets and waits for those that listen.
func (w *Watch) end() {
	w.mu.Lock()
	w.running = false
	w.tidy()
	w.mu.Unlock()
	w.heard.Wait()
}

// lookTime is how often it is noticed that a namespace was replaced.
const lookTime = time.Second

// look closes the sockets of namespaces that are gone, so that they can end.
func (w *Watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, e := range w.ears {
		if identify(w.path(k.ns)) != e.namespace {
			w.lose(k, e)
		}
	}
}

func (w *Watch) path(namespace string) string { return filepath.Join(w.dir, namespace) }

// due is what is to be looked at now, the longest due first, and when the next
// will be.
func (w *Watch) due(now time.Time) (keys []host.ProbeKey, next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next = now.Add(lookTime)
	for k, c := range w.courses {
		if !c.next.After(now) {
			keys = append(keys, k)
		} else if c.next.Before(next) {
			next = c.next
		}
	}
	slices.SortFunc(keys, func(a, b host.ProbeKey) int { return w.courses[a].next.Compare(w.courses[b].next) })
	return keys, next
}

// ask brings a course on by one step and reports whether a question was sent.
func (w *Watch) ask(k host.ProbeKey) bool {
	w.mu.Lock()
	c := w.courses[k]
	if c == nil {
		w.mu.Unlock()
		return false
	}
	before := c.reason(k)
	question := c.step(time.Now(), w.pace)
	if c.reason(k) != before {
		signal(w.events)
	}
	probe, at := c.probe, place(k, c.address)
	e := w.ears[at]
	w.mu.Unlock()
	if !question {
		return false
	}
	var failed netip.Addr
	var err error
	if e == nil {
		e, err = w.open(at)
	}
	if err == nil && k.Kind == host.ProbeUnique && c.address.Is6() {
		failed, err = refused(w.path(at.ns), at.device, c.address)
	}
	if err == nil {
		err = e.send(func(mac net.HardwareAddr) []byte { return frame(mac, c.address, probe.From) })
	}
	w.asked(k, at, answer{c, e, failed, err})
	return err == nil
}

// answer is how a question went.
type answer struct {
	course *course
	ear    *ear
	failed netip.Addr // see refused
	err    error
}

// asked notes how a question went. One that could not be put finds nothing: the
// device is missing or down, which is not for us to say.
func (w *Watch) asked(k host.ProbeKey, at earKey, a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.courses[k] != a.course {
		return // the plan has changed meanwhile
	}
	before := a.course.reason(k)
	a.course.refused = a.failed
	if a.err != nil {
		a.course.unknown(time.Now(), w.pace)
		if a.ear != nil {
			w.lose(at, a.ear)
		}
	}
	if a.course.reason(k) != before {
		signal(w.events)
	}
}

// open begins to listen on a device.
func (w *Watch) open(k earKey) (*ear, error) {
	e, err := listen(w.path(k.ns), k)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	used := false
	for p, c := range w.courses {
		used = used || place(p, c.address) == k
	}
	if !used || !w.running {
		e.close()
		return nil, net.ErrClosed
	}
	w.ears[k] = e
	w.heard.Go(func() {
		e.listen(func(c claim) { w.hear(k, c) })
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lose(k, e)
	})
	return e, nil
}

// hear takes in that a station says to have an address.
func (w *Watch) hear(at earKey, c claim) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, kind := range [...]host.ProbeKind{host.ProbeUnique, host.ProbeAnswers} {
		k := host.ProbeKey{NetNS: at.ns, Device: at.device, Address: c.address.String(), Kind: kind}
		if course := w.courses[k]; course != nil && course.hear(time.Now(), c.mac) {
			signal(w.wake)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func random(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}
