package ra

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Unix(1_000_000, 0)

// late is the latest that randomness can make it.
func late(d time.Duration) time.Duration { return max(d-1, 0) }

func client(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fe80::%x", i+1)) }

// Three come quickly, then one in 30 to 100 s.
func TestTheFirstAdvertisementsComeQuickly(t *testing.T) {
	s := schedule{pace: usualPace(), random: late}
	s.start(epoch)
	var gaps []time.Duration
	for now := epoch; len(gaps) < 5; {
		next := s.next()
		gaps = append(gaps, next.Sub(now).Round(time.Second))
		now = next
		if all, _ := s.due(now); !all {
			t.Fatal("nothing to say when something is due")
		}
	}
	if got := fmt.Sprint(gaps); got != "[0s 16s 16s 1m40s 1m40s]" {
		t.Error(got)
	}
}

// Eight hosts that ask at once are each answered within half a second; the
// ninth and those without an address get the message to all.
func TestHostsAreAnsweredWithinHalfASecond(t *testing.T) {
	s := schedule{pace: usualPace(), random: late}
	s.start(epoch)
	s.due(s.next())
	now := s.last.Add(10 * time.Second)
	for i := range 8 {
		s.solicited(now, client(i))
		s.solicited(now, client(i)) // asking twice is asking once
	}
	if d := s.next().Sub(now); d > 500*time.Millisecond || !s.full() {
		t.Errorf("answered after %v, full %v", d, s.full())
	}
	s.solicited(now, client(8))
	all, singles := s.due(now.Add(500 * time.Millisecond))
	if !all || singles != nil {
		t.Errorf("all %v, singles %v: the message to all answers everyone", all, singles)
	}
	now = now.Add(time.Second)
	s.solicited(now, client(1))
	s.solicited(now, netip.IPv6Unspecified())
	if all, singles := s.due(now.Add(time.Second)); all || len(singles) != 1 || singles[0] != client(1) {
		t.Errorf("all %v, singles %v", all, singles)
	}
	if d := s.next().Sub(s.last); d != 3*time.Second {
		t.Errorf("the next message to all comes %v after the last", d)
	}
}

// Whatever is asked whenever: messages to all are 3 s apart, at most 8 hosts
// wait, nobody waits longer than he may, and there is always a next time.
func TestNoQuestionsBreakThePace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := usualPace()
		s := schedule{pace: p, random: func(d time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, max(int64(d)-1, 0)).Draw(t, "random"))
		}}
		now := epoch
		s.start(now)
		var last time.Time
		asked := map[netip.Addr]time.Time{}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				s.start(now)
			case 1, 2:
				from := client(rapid.IntRange(0, 20).Draw(t, "who"))
				if s.solicited(now, from); len(s.waiting) > p.singles {
					t.Fatalf("%d hosts wait", len(s.waiting))
				}
				if _, waits := asked[from]; !waits {
					asked[from] = now
				}
			case 3:
				s.solicited(now, netip.IPv6Unspecified())
			}
			next := s.next()
			if next.IsZero() || next.After(now.Add(p.max)) {
				t.Fatalf("next at %v, now %v", next, now)
			}
			if rapid.Bool().Draw(t, "on time") && next.After(now) {
				now = next
			}
			all, singles := s.due(now)
			if all {
				if !last.IsZero() && now.Sub(last) < p.crowd {
					t.Fatalf("two messages to all within %v", now.Sub(last))
				}
				last = now
				clear(asked)
			}
			for _, a := range singles {
				delete(asked, a)
			}
			for a, at := range asked {
				if now.Sub(at) > p.answer+p.crowd {
					t.Fatalf("%s waits since %v", a, now.Sub(at))
				}
			}
		}
	})
}
