package auth

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// checksAt are checks with a clock that the test moves, and the check that runs.
func checksAt() (*checks, *clock) {
	c, now := newChecks(1), newClock()
	c.now = now.Now
	c.after = func(time.Duration, func()) {} // the test says when to look again
	return c, now
}

// The newest password of a source comes first and the oldest is refused, so that a
// right one has its turn among 64 wrong ones; another source's comes next.
func TestAPasswordIsNotBehindAnothersGuesses(t *testing.T) {
	c, _ := checksAt()
	running := c.enter("guesser")
	if err := <-running; err != nil {
		t.Fatal(err)
	}
	var guesses []<-chan error
	for range 64 {
		guesses = append(guesses, c.enter("guesser"))
	}
	operator, other := c.enter("guesser"), c.enter("other")
	refused := 0
	for _, g := range guesses {
		select {
		case err := <-g:
			var busy *Busy
			if !errors.As(err, &busy) || busy.After <= 0 {
				t.Errorf("a guess got %v", err)
			}
			refused++
		default:
		}
	}
	if refused != 64+1-checksQueued {
		t.Errorf("%d guesses of 64 were refused", refused)
	}
	end := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running--
		c.next()
	}
	for i, next := range []<-chan error{other, operator} {
		end()
		select {
		case err := <-next:
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		default:
			t.Errorf("%d does not come next", i)
		}
	}
}

// A source has a burst of checks and then some a second; right passwords cost it
// nothing.
func TestGuessesAreBounded(t *testing.T) {
	c, now := checksAt()
	wrong := errors.New("wrong")
	ran := 0
	for range checksBurst {
		if err := c.run("guesser", func() error { ran++; return wrong }); !errors.Is(err, wrong) {
			t.Fatal(err)
		}
	}
	late := make(chan error, 1)
	go func() { late <- c.run("guesser", func() error { ran++; return wrong }) }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		waits := len(c.sources["guesser"].waiting) == 1
		c.mu.Unlock()
		if waits {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the check beyond the burst does not wait")
		}
	}
	now.pass(time.Second / checksRate)
	c.mu.Lock()
	c.next()
	c.mu.Unlock()
	if err := <-late; !errors.Is(err, wrong) || ran != checksBurst+1 {
		t.Errorf("%v after %d", err, ran)
	}
	for range 10 * checksBurst {
		if err := c.run("user", func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// While 64 wrong passwords are being worked out, who has proved theirs gets in at
// once, also after the time for which it is remembered. Before, they waited for all.
func TestWhoIsKnownDoesNotWaitForGuesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	writeFile(t, path, user(t, "alice", "right", 4))
	b, now, _ := basicAt(t, path)
	ctx := From(t.Context(), "10.0.0.1")
	ask := func(password string) error {
		_, err := b.Authenticate(ctx, headers(basicHeader("alice", password)...))
		return err
	}
	if err := ask("right"); err != nil {
		t.Fatal(err)
	}
	release, compare := make(chan struct{}), b.compare
	var stuck atomic.Int32
	b.compare = func(hash, password []byte) error {
		if string(password) != "right" {
			stuck.Add(1)
			<-release
		}
		return compare(hash, password)
	}
	var guesses sync.WaitGroup
	for i := range 64 {
		guesses.Go(func() { _ = ask(fmt.Sprint("wrong", i)) })
	}
	for end := time.Now().Add(10 * time.Second); stuck.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no guess is being worked out")
		}
	}
	if err := ask("right"); err != nil {
		t.Error(err)
	}
	now.pass(passwordTime)
	if err := ask("right"); err != nil {
		t.Error(err)
	}
	if n := stuck.Load(); n > int32(b.strangers.slots) {
		t.Errorf("%d guesses are worked out at once", n)
	}
	now.pass(time.Minute) // so that the guesses that wait have their turns
	close(release)
	for range 64 {
		now.pass(time.Minute)
		b.strangers.mu.Lock()
		b.strangers.next()
		b.strangers.mu.Unlock()
	}
	guesses.Wait()
}

// Requests with one password that come together work it out once.
func TestOnePasswordIsWorkedOutOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	writeFile(t, path, user(t, "alice", "right", 4))
	b, _, _ := basicAt(t, path)
	var times atomic.Int32
	begun, release, compare := make(chan struct{}), make(chan struct{}), b.compare
	b.compare = func(hash, password []byte) error {
		if times.Add(1) == 1 {
			close(begun)
		}
		<-release
		return compare(hash, password)
	}
	var wait sync.WaitGroup
	ask := func() {
		if _, err := b.Authenticate(t.Context(), headers(basicHeader("alice", "right")...)); err != nil {
			t.Error(err)
		}
	}
	wait.Go(ask)
	<-begun
	for range 20 {
		wait.Go(ask)
	}
	close(release)
	wait.Wait()
	if n := times.Load(); n != 1 {
		t.Errorf("worked out %d times", n)
	}
}
