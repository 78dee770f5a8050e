package ra

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// order is what a sender is told.
type order int

const (
	carryOn  order = iota
	renew          // what it says has changed
	end            // stop without a word: hosts go on with what they know
	farewell       // stop, and say that the router is none any more
)

// What a sender reads of questions before it rests: whoever floods it costs no
// more than this.
const (
	readsAtOnce = 64
	rest        = 50 * time.Millisecond
)

// sender is one device that advertises: one goroutine, one socket.
type sender struct {
	socket   *socket
	facts    facts
	news     func() // told when it fails, and when it works again
	done     chan struct{}
	wake     chan struct{}
	schedule schedule // the goroutine's own
	reads    int      // since it last rested
	failed   int      // messages in a row

	mu      sync.Mutex
	content content
	gone    content // said before, to be taken back
	order   order
	woken   bool
	failure error
}

func uniform(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// newSender starts a device. It owns the socket.
func newSender(s *socket, f facts, c content, h *Hand) *sender {
	out := &sender{socket: s, facts: f, news: h.signal, content: c, order: renew,
		done: make(chan struct{}), wake: make(chan struct{}, 1), schedule: schedule{pace: h.pace, random: uniform}}
	go out.run()
	return out
}

// change makes the sender say something else.
func (s *sender) change(c content) {
	s.mu.Lock()
	said := content{prefixes: slices.Concat(s.content.prefixes, s.gone.prefixes), dns: slices.Concat(s.content.dns, s.gone.dns)}
	s.content, s.gone = c, said.gone(c)
	s.mu.Unlock()
	s.tell(renew)
}

// stop ends the sender and waits for it.
func (s *sender) stop(how order) {
	s.tell(how)
	<-s.done
}

func (s *sender) tell(o order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = max(s.order, o)
	s.woken = true
	s.socket.until(time.Unix(1, 0))
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// broken is why the last message could not be sent.
func (s *sender) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

func (s *sender) run() {
	defer close(s.done)
	defer s.socket.close()
	for {
		now := time.Now()
		o, c, gone := s.take()
		switch o {
		case end:
			return
		case farewell:
			// Nobody is left to be told of a failure: hosts notice by the lifetime.
			_ = s.socket.send(message(c, gone, s.facts.mac, 0), allNodes)
			return
		case renew:
			s.schedule.start(now)
		}
		all, singles := s.schedule.due(now)
		if all {
			s.speak(now, message(c, gone, s.facts.mac, routerLifetime))
		}
		for _, to := range singles {
			// A host that cannot be reached is no failure of ours.
			_ = s.socket.send(message(c, gone, s.facts.mac, routerLifetime), to)
		}
		s.wait(now)
	}
}

// take is what the sender has been told since it last asked.
func (s *sender) take() (order, content, content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.order
	s.order, s.woken = carryOn, false
	if o != renew && s.schedule.quick == 0 {
		s.gone = content{}
	}
	return o, s.content, s.gone
}

// speak sends a message to all nodes and notes how that went. One failure is
// no failure yet: a full table of the kernel has room again soon.
func (s *sender) speak(now time.Time, message []byte) {
	err := s.socket.send(message, allNodes)
	s.failed++
	if err == nil {
		s.failed = 0
	} else {
		s.schedule.failed(now)
	}
	if s.failed > 0 && s.failed < s.schedule.pace.patience {
		return
	}
	if errors.Is(err, unix.EINVAL) { // ip6_finish_output2 finds no room for the group's entry
		err = fmt.Errorf("%w (is the neighbour table full? see net.ipv6.neigh.default.gc_thresh3)", err)
	}
	s.mu.Lock()
	changed := (err == nil) != (s.failure == nil)
	s.failure = err
	s.mu.Unlock()
	if changed {
		s.news()
	}
}

// wait lasts until something is due, a host asks, or the sender is told
// something. While it rests it does not listen.
func (s *sender) wait(now time.Time) {
	next := s.schedule.next()
	if s.reads >= readsAtOnce && now.Add(rest).Before(next) {
		next = now.Add(rest)
	}
	if s.reads >= readsAtOnce || s.schedule.full() {
		s.reads = 0
		select {
		case <-s.wake:
		case <-time.After(time.Until(next)):
		}
		return
	}
	if !s.listen(next) {
		return
	}
	from, err := s.socket.receive()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.reads = 0
	case err != nil:
		s.reads = readsAtOnce // an error that stays must not spin
	case from != (netip.Addr{}):
		s.schedule.solicited(time.Now(), from)
		fallthrough
	default:
		s.reads++
	}
}

// listen sets how long to listen, unless the sender was told something.
func (s *sender) listen(until time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.wake: // it is about an order that was taken, or woken says so
	default:
	}
	if s.woken {
		return false
	}
	s.socket.until(until)
	return true
}
