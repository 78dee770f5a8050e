package conns

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"neutrino/api/admission"
)

// served is a server whose connections are kept.
type served struct {
	keeper  *Keeper
	address string
	release chan struct{} // lets a request to /slow end
	begun   chan struct{} // says that one has begun
	budget  *admission.Budget
}

func serve(t *testing.T, limit int) *served {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{
		keeper: NewKeeper(limit, slog.New(slog.DiscardHandler)), address: ln.Addr().String(),
		release: make(chan struct{}), begun: make(chan struct{}, 100), budget: admission.NewBudget("bodies", 64<<20),
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			s.begun <- struct{}{}
			<-s.release
		}
		b := NewBody(s.budget, "flow")
		defer b.Release()
		if r.URL.Path == "/body" {
			s.begun <- struct{}{}
		}
		if err := ReadBody(w, r, b, 4<<20); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%d bytes", len(b.Bytes))
	})}
	s.keeper.Serve(server)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(s.keeper.Listener(ln)) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return s
}

func (s *served) dial(t *testing.T, from string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(context.Background(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// asks sends a request and returns the answer's status.
func asks(t *testing.T, c net.Conn, path string) int {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	_, _ = io.Copy(io.Discard, a.Body)
	return a.StatusCode
}

// hasEnded waits for the end of a connection.
func hasEnded(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, err := c.Read(make([]byte, 1))
	var late net.Error
	return err != nil && (!errors.As(err, &late) || !late.Timeout())
}

// 80 connections that do nothing shut nobody out of a server with room for 24: the
// oldest go.
func TestIdleConnectionsShutNobodyOut(t *testing.T) {
	s := serve(t, 24)
	var idle []net.Conn
	for range 80 {
		idle = append(idle, s.dial(t, "127.0.0.1"))
	}
	for range 50 {
		c := s.dial(t, "127.0.0.1")
		if status := asks(t, c, "/"); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
	if n := s.keeper.Open(); n > 24 {
		t.Errorf("%d connections are open", n)
	}
	if !hasEnded(idle[0]) {
		t.Error("the oldest is still open")
	}
}

// Who opens many connections loses their own: another's, though older and idle,
// stays.
func TestWhoOpensManyLosesTheirOwn(t *testing.T) {
	s := serve(t, 10)
	kept := s.dial(t, "127.0.0.2")
	if asks(t, kept, "/") != 200 {
		t.Fatal("no answer")
	}
	for range 50 {
		c := s.dial(t, "127.0.0.3")
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ") // the rest never comes
	}
	last := s.dial(t, "127.0.0.3")
	if asks(t, last, "/") != 200 {
		t.Error("the last has no answer")
	}
	if asks(t, kept, "/") != 200 {
		t.Error("the other's connection is gone")
	}
}

// A request that is being answered keeps its connection; who comes waits for the
// next that ends.
func TestAnswersAreNotCutOff(t *testing.T) {
	s := serve(t, 2)
	answers := make(chan int, 2)
	for range 2 {
		c := s.dial(t, "127.0.0.1")
		go func() { answers <- asks(t, c, "/slow") }()
		<-s.begun
	}
	late := make(chan int)
	c := s.dial(t, "127.0.0.1")
	go func() { late <- asks(t, c, "/") }()
	select {
	case <-late:
		t.Fatal("there was no room")
	case <-time.After(50 * time.Millisecond): // a sign only: the true test is that both are answered
	}
	close(s.release)
	for range 2 {
		if status := <-answers; status != 200 {
			t.Errorf("status %d", status)
		}
	}
	if status := <-late; status != 200 {
		t.Errorf("the one that waited: %d", status)
	}
}

// A body that is promised and does not come takes what its connection takes, and
// its connection goes for another's: before, each had a megabyte at once.
func TestAPromisedBodyTakesWhatHasCome(t *testing.T) {
	const many = 400
	s := serve(t, many)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range many {
		c := s.dial(t, "127.0.0.1")
		if _, err := io.WriteString(c, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		<-s.begun
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := int(after.HeapInuse-before.HeapInuse) / many; each > 64<<10 {
		t.Errorf("%d bytes for each", each)
	}
	if most := s.budget.Most(); most > many*(overhead+2*firstBuffer) {
		t.Errorf("%d bytes were taken", most)
	}
	if asks(t, s.dial(t, "127.0.0.1"), "/") != 200 {
		t.Error("another is shut out")
	}
}

func TestABodyIsReadWhole(t *testing.T) {
	budget := admission.NewBudget("bodies", 64<<20)
	for _, size := range []int{0, 1, firstBuffer, firstBuffer + 1, 1 << 20, 4 << 20, 4<<20 + 1} {
		for _, length := range []int64{int64(size), -1} {
			r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", size)))
			r.ContentLength = length
			b := NewBody(budget, "flow")
			err := ReadBody(httptest.NewRecorder(), r, b, 4<<20)
			var large *http.MaxBytesError
			if size > 4<<20 {
				if !errors.As(err, &large) {
					t.Errorf("%d bytes, length %d: %v", size, length, err)
				}
			} else if err != nil || len(b.Bytes) != size {
				t.Errorf("%d bytes, length %d: %d, %v", size, length, len(b.Bytes), err)
			}
			b.Release()
		}
	}
	if err := budget.Try("flow", budget.Share()); err != nil {
		t.Errorf("something was not given back: %v", err)
	}
}

func TestABodyBeyondTheBudgetIsRefused(t *testing.T) {
	budget := admission.NewBudget("bodies", 1<<20)
	r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 3<<20)))
	b := NewBody(budget, "flow")
	defer b.Release()
	var refused *admission.Refusal
	if err := ReadBody(httptest.NewRecorder(), r, b, 4<<20); !errors.As(err, &refused) || !refused.Own {
		t.Errorf("got %v", err)
	}
	if budget.Most() > 512<<10 {
		t.Errorf("%d bytes were taken", budget.Most())
	}
}

func TestASourceIsAnAddressOrANetwork(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1:5": "10.0.0.1", "[::ffff:10.0.0.1]:5": "10.0.0.1", "[2001:db8::1:2]:5": "2001:db8::/64", "[fe80::1%eth0]:5": "fe80::/64", "@": "@",
	} {
		if got := Source(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
