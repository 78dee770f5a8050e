package ra

import (
	"net/netip"
	"slices"
	"time"
)

// pace is how often a device speaks (RFC 4861, 6.2.1 and 10).
type pace struct {
	min, max time.Duration // between unsolicited advertisements
	quick    int           // how many of the first ones come quickly
	quickMax time.Duration // how far those are apart at most
	first    time.Duration // until the very first one, at most
	answer   time.Duration // until an answer, at most
	crowd    time.Duration // between two messages to all nodes, at least
	singles  int           // hosts that are answered one by one at a time
	retry    time.Duration // after a message that could not be sent, at least
	patience int           // messages that fail in a row before that is told
}

func usualPace() pace {
	return pace{min: 30 * time.Second, max: 100 * time.Second, quick: 3, quickMax: 16 * time.Second,
		first: 100 * time.Millisecond, answer: 500 * time.Millisecond, crowd: 3 * time.Second, singles: 8, retry: time.Second, patience: 3}
}

// schedule says when a device speaks next, and to whom. It reads no clock.
type schedule struct {
	pace   pace
	random func(time.Duration) time.Duration // in [0, d)

	quick   int       // first ones still to come
	last    time.Time // of the last message to all nodes
	all     time.Time // of the next message to all nodes
	single  time.Time // of the next answers to single hosts; zero for none
	waiting []netip.Addr
}

// start begins anew: the first messages come quickly.
func (s *schedule) start(now time.Time) {
	s.quick = s.pace.quick
	s.all = s.spaced(now.Add(s.random(s.pace.first)))
}

// spaced is a time for a message to all nodes, not too soon after the last.
func (s *schedule) spaced(at time.Time) time.Time {
	if s.last.IsZero() || at.After(s.last.Add(s.pace.crowd)) {
		return at
	}
	return s.last.Add(s.pace.crowd)
}

// solicited plans the answer to a host. One that has an address of the link is
// answered alone, so that many hosts that start at once need not wait for each
// other; the others, and those that are too many, by a message to all nodes.
func (s *schedule) solicited(now time.Time, from netip.Addr) {
	at := now.Add(s.random(s.pace.answer))
	if !from.IsLinkLocalUnicast() || s.full() && !slices.Contains(s.waiting, from) {
		if at = s.spaced(at); at.Before(s.all) {
			s.all = at
		}
		return
	}
	if !slices.Contains(s.waiting, from) {
		s.waiting = append(s.waiting, from)
	}
	if s.single.IsZero() {
		s.single = at
	}
}

// full is when no more hosts can be answered one by one: whoever asks now waits
// in the socket, so that a flood of questions costs next to nothing.
func (s *schedule) full() bool { return len(s.waiting) >= s.pace.singles }

// next is when something is due.
func (s *schedule) next() time.Time {
	if !s.single.IsZero() && s.single.Before(s.all) {
		return s.single
	}
	return s.all
}

// due is what has to be sent now: to all nodes, or to single hosts.
func (s *schedule) due(now time.Time) (all bool, singles []netip.Addr) {
	if !now.Before(s.all) {
		s.last, s.single, s.waiting = now, time.Time{}, nil // it answers those too
		s.plan(now)
		return true, nil
	}
	if !s.single.IsZero() && !now.Before(s.single) {
		singles = s.waiting
		s.single, s.waiting = time.Time{}, nil
	}
	return false, singles
}

// plan sets the next unsolicited message.
func (s *schedule) plan(now time.Time) {
	interval := s.pace.min + s.random(s.pace.max-s.pace.min)
	if s.quick > 0 {
		s.quick--
	}
	if s.quick > 0 {
		interval = min(interval, s.pace.quickMax)
	}
	s.all = now.Add(interval)
}

// failed plans another try after a message to all nodes was not sent.
func (s *schedule) failed(now time.Time) {
	s.quick = s.pace.quick
	s.all = now.Add(s.pace.retry + s.random(s.pace.retry))
}
