// Package liveness decides which hosts are dead. It goes by what the hosts'
// streams say and by a clock that only runs forward; no column, no wall clock
// and no write of the store takes part. It counts nothing as a death while the
// fault may be the server's own: right after the start, while the store cannot
// write, after the process stood still, and when most hosts fall silent at once
// (docs/decisions/028).
package liveness

import (
	"fmt"
	"sync"
	"time"
)

// State is what is known of a host's life.
type State int

// The states. A host is Unknown while it has not been heard since the start and
// the down time since then has not passed.
const (
	Unknown State = iota
	Alive
	Dead
)

// String is the state in a word, for figures and logs.
func (s State) String() string { return [...]string{"unknown", "alive", "dead"}[s] }

// crowdPercent is the share of the hosts at whose silence nothing moves: rather
// than so many hosts, the network between them and the server is dead. It is the
// default of Kubernetes's unhealthy-zone-threshold. One host is no crowd.
const crowdPercent = 55

// silentNumerator and silentDenominator make the part of the down time after which
// a host counts towards the crowd. Hosts that died at one moment seem dead one
// after the other, as far apart as their heartbeats are (at most 2/5 of the down
// time): when the first seems dead, the others have been silent this long.
const silentNumerator, silentDenominator = 3, 5

// Monotonic is the time since the call by the machine's monotonic clock, which
// nobody sets.
func Monotonic() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}

// Host is a host that may be dead, for [Judge.Verdict].
type Host struct {
	Name string
	// InUse is set while something is bound to the host. A silent host that
	// nothing is bound to is one of the past, and says nothing of the present.
	InUse bool
}

// Verdict is who seems dead, and whether that may be acted upon.
type Verdict struct {
	Dead []string // those in use, in the order in which they were asked for
	Held string   // why nothing moves although they seem dead; "" for nothing
}

// Movable are the dead hosts whose work may move now.
func (v Verdict) Movable() []string {
	if v.Held != "" {
		return nil
	}
	return v.Dead
}

// trouble is something that is wrong with the server itself, or seems to be.
type trouble struct {
	what  string
	lasts bool
	ever  bool
	last  time.Duration // when it was last seen
}

func (t *trouble) seen(what string, now time.Duration) { *t = trouble{what, true, true, now} }

func (t *trouble) over(now time.Duration) {
	if t.lasts {
		t.lasts, t.last = false, now
	}
}

// holds is why nothing may move for the sake of the trouble, "" for nothing: it
// lasts, or the hosts have not had a down time since to be heard again.
func (t *trouble) holds(now, downTime time.Duration) string {
	switch {
	case t.lasts:
		return t.what
	case t.ever && now-t.last <= downTime:
		return fmt.Sprintf("%s; that is over since %s, and hosts have %s to be heard", t.what, seconds(now-t.last), seconds(downTime))
	}
	return ""
}

// Judge remembers when each host was last heard. All methods may be called from
// any goroutine.
type Judge struct {
	clock    func() time.Duration
	downTime time.Duration

	mu     sync.Mutex
	began  time.Duration // when hosts could connect
	ticked time.Duration
	heard  map[string]time.Duration
	// What the server itself suffers from.
	writes, stall, crowd trouble
}

// New makes a judge by whom hosts are dead that are silent for more than the down
// time. The clock gives the time since any fixed moment and only runs forward:
// [Monotonic].
func New(downTime time.Duration, clock func() time.Duration) *Judge {
	j := &Judge{clock: clock, downTime: downTime, heard: map[string]time.Duration{}}
	j.Begin()
	return j
}

// Begin says that hosts can connect from now on. A new judge has begun; what took
// long since then does not count against the hosts when Begin is called again.
func (j *Judge) Begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.began = j.clock()
	j.ticked = j.began
}

// Now is the judge's time, for [Judge.HeardAt].
func (j *Judge) Now() time.Duration { return j.clock() }

// Heard says that the host's agent has said something.
func (j *Judge) Heard(host string) { j.HeardAt(host, j.clock()) }

// HeardAt is Heard for something that was said at an earlier time.
func (j *Judge) HeardAt(host string, at time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if last, ok := j.heard[host]; !ok || last < at {
		j.heard[host] = at
	}
}

// WriteFailed says that the store could not write, and why.
func (j *Judge) WriteFailed(why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes.seen("the store cannot write: "+why, j.clock())
}

// WriteWorked says that the store has written durably.
func (j *Judge) WriteWorked() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes.over(j.clock())
}

// Writing is nil while the last write is not known to have failed, and else says
// how it did.
func (j *Judge) Writing() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.writes.lasts {
		return fmt.Errorf("%s", j.writes.what)
	}
	return nil
}

// Tick is to be called all the time, several times in a down time. When it was
// not, the process stood still, and what the hosts said meanwhile has still to be
// read.
func (j *Judge) Tick() {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.clock()
	if gap := now - j.ticked; gap > j.downTime/2 {
		j.stall.seen(fmt.Sprintf("the server stood still for %s", seconds(gap)), now)
		j.stall.over(now)
	}
	j.ticked = now
}

// State is what is known of the host.
func (j *Judge) State(host string) State {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, heard := j.heard[host]
	switch {
	case j.silence(host, j.clock()) > j.downTime:
		return Dead
	case heard:
		return Alive
	}
	return Unknown
}

// silence is for how long a host has not been heard. One that never was could not
// have been heard before the beginning.
func (j *Judge) silence(host string, now time.Duration) time.Duration {
	return now - max(j.heard[host], j.began)
}

// Verdict is who of the hosts seems dead, and whether their work may move. The
// hosts are all that there are. A silence of the crowd is remembered: it is to be
// asked for again and again.
func (j *Judge) Verdict(hosts []Host) Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.clock()
	var v Verdict
	counted, silent := 0, 0
	for _, h := range hosts {
		quiet := j.silence(h.Name, now)
		dead := quiet > j.downTime
		if dead && h.InUse {
			v.Dead = append(v.Dead, h.Name)
		}
		if h.InUse || !dead {
			counted++
			if quiet >= j.downTime*silentNumerator/silentDenominator {
				silent++
			}
		}
	}
	if len(v.Dead) > 0 && silent > 1 && silent*100 >= counted*crowdPercent {
		j.crowd.seen(fmt.Sprintf("%d of %d hosts are silent at once", silent, counted), now)
	} else {
		j.crowd.over(now)
	}
	j.forget(hosts, now)
	v.Held = j.held(now)
	return v
}

// held is why nothing may move now, "" for nothing.
func (j *Judge) held(now time.Duration) string {
	if since := now - j.began; since <= j.downTime {
		return fmt.Sprintf("agents could connect for %s, and have %s", seconds(since), seconds(j.downTime))
	}
	for _, t := range []*trouble{&j.writes, &j.stall, &j.crowd} {
		if why := t.holds(now, j.downTime); why != "" {
			return why
		}
	}
	return ""
}

// forget drops the dead hosts that are no hosts any more.
func (j *Judge) forget(hosts []Host, now time.Duration) {
	if len(j.heard) <= len(hosts) {
		return
	}
	known := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		known[h.Name] = true
	}
	for name := range j.heard {
		if !known[name] && j.silence(name, now) > j.downTime {
			delete(j.heard, name)
		}
	}
}

func seconds(d time.Duration) string { return d.Round(time.Second / 10).String() }
