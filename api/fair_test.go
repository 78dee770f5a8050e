package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"neutrino/api/admission"
	"neutrino/api/wire"
	"neutrino/auth"
	"neutrino/store/engine/sqlite"
)

// crowded is a cloud with more networks of alice than a short list has.
func crowded(t *testing.T, share *admission.Desk) *cloud {
	t.Helper()
	c := openCloud(t, sqlite.Options{Path: sqlite.Memory}, Options{Share: share})
	c.do("PUT", "/v2.0/quotas/alice", `{"quota":{"network":-1}}`).want(200)
	names := strings.Repeat(`{"project_id":"alice"},`, 4*rowsOfPart)
	c.do("POST", "/v2.0/networks", `{"networks":[`+names[:len(names)-1]+`]}`).want(201)
	return c
}

func alice() []string { return []string{"X-Project-Id", "alice", "X-Roles", "member"} }

// slowClient takes an answer only when it is told to.
type slowClient struct {
	*httptest.ResponseRecorder
	begun, take chan struct{}
}

func (s *slowClient) Write(b []byte) (int, error) {
	s.begun <- struct{}{}
	<-s.take
	return s.ResponseRecorder.Write(b)
}

// While clients do not take what they asked for, their requests keep no seat:
// another's is answered. And what they get in the end is whole.
func TestASlowReaderKeepsNoSeat(t *testing.T) {
	share := admission.NewDesk(1 << 30)
	c := crowded(t, share)
	const readers = 20
	client := func() *slowClient {
		return &slowClient{httptest.NewRecorder(), make(chan struct{}, 100), make(chan struct{})}
	}
	var clients []*slowClient
	done := make(chan struct{}, readers)
	for range readers {
		s := client()
		clients = append(clients, s)
		go func() {
			r := httptest.NewRequest("GET", "/v2.0/networks", nil)
			r.Header.Set("X-Project-Id", "alice")
			r.Header.Set("X-Roles", "member")
			c.h.ServeHTTP(s, r)
			done <- struct{}{}
		}()
	}
	for _, s := range clients {
		<-s.begun
	}
	c.get("/v2.0/networks?limit=1", "X-Project-Id", "bob", "X-Roles", "member").want(200)
	for _, s := range clients {
		close(s.take)
	}
	for range readers {
		<-done
	}
	for _, s := range clients {
		a := &answer{t, s.Code, s.Header(), s.Body.String()}
		if n := len(a.list("networks")); n != 4*rowsOfPart {
			t.Fatalf("%d networks", n)
		}
	}
	if most := share.Answers.Most(); most > share.Answers.Share() {
		t.Errorf("%d bytes of lists at once", most)
	}
}

// A list ends when its client has gone, in the middle of sorting too.
func TestWorkEndsWhenTheClientLeaves(t *testing.T) {
	c := crowded(t, nil)
	gone, leave := context.WithCancel(context.Background())
	leave()
	for _, query := range []string{"", "?sort_key=name&sort_dir=desc", "?limit=1000&sort_key=mtu&sort_dir=asc"} {
		r := httptest.NewRequestWithContext(gone, "GET", "/v2.0/networks"+query, nil)
		w := httptest.NewRecorder()
		c.h.ServeHTTP(w, r)
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("%q: %d, %d bytes", query, w.Code, w.Body.Len())
		}
	}
	// One that is cut off half-way is not whole for anybody.
	half, leave := context.WithCancel(context.Background())
	s := &slowClient{httptest.NewRecorder(), make(chan struct{}, 100), make(chan struct{})}
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		c.h.ServeHTTP(s, httptest.NewRequestWithContext(half, "GET", "/v2.0/networks", nil))
	}()
	<-s.begun
	leave()
	close(s.take)
	if p := <-ended; p == nil && !strings.HasSuffix(s.Body.String(), "]}") || p != nil && p != http.ErrAbortHandler {
		t.Errorf("it ended with %v", p)
	}
}

// More than four sort keys are refused: each is compared for each two rows.
func TestAListIsSortedByFourKeys(t *testing.T) {
	c := newCloud(t)
	key := "&sort_key=name&sort_dir=asc"
	c.get("/v2.0/networks?" + strings.Repeat(key, 4)).want(200)
	c.get("/v2.0/networks?"+strings.Repeat(key, 5)).fails(400, wire.TypeBadRequest, "sort_key")
}

// Who has no memory left is told when to come again: the request's own doing is 429,
// the server's lack 503. What can never be let in is 413.
func TestWhoIsNotLetInIsToldWhen(t *testing.T) {
	c := newCloud(t)
	for _, row := range []struct {
		refusal admission.Refusal
		status  int
		retry   string
	}{
		{admission.Refusal{Own: true, After: time.Second, What: "x"}, 429, "1"},
		{admission.Refusal{After: 1500 * time.Millisecond, What: "x"}, 503, "2"},
		{admission.Refusal{Own: true, What: "x"}, 413, ""},
	} {
		rep := errorReply(fmt.Errorf("in: %w", &row.refusal))
		w := httptest.NewRecorder()
		c.h.(*api).resources["full"] = full{rep: rep}
		c.h.ServeHTTP(w, httptest.NewRequest("GET", "/v2.0/full", nil))
		if w.Code != row.status || w.Header().Get("Retry-After") != row.retry {
			t.Errorf("%+v: %d, Retry-After %q", row.refusal, w.Code, w.Header().Get("Retry-After"))
		}
	}
	share := admission.NewDesk(1 << 30)
	c = openCloud(t, sqlite.Options{Path: sqlite.Memory}, Options{Share: share})
	if err := share.Bodies.Try("alice", share.Bodies.Share()); err != nil {
		t.Fatal(err)
	}
	body := `{"network":{"name":"x"}}`
	if got := c.do("POST", "/v2.0/networks", body, alice()...).want(429); got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	c.do("POST", "/v2.0/networks", body, "X-Project-Id", "bob", "X-Roles", "member").want(201)
	c.get("/v2.0/networks", alice()...).want(200)
}

// full is a resource that answers as it is told.
type full struct {
	boom
	rep *reply
}

func (f full) collection(*call) (*reply, error) { return f.rep, nil }

// 32 bodies of 4 MB that are refused at once leave no heap behind, and what was
// taken for them is given back.
func TestRefusedBodiesAreCheap(t *testing.T) {
	share := admission.NewDesk(1 << 30)
	c := openCloud(t, sqlite.Options{Path: sqlite.Memory}, Options{Share: share})
	body := `{"networks":[` + strings.Repeat(`{"nome":1},`, 350_000) + `{}]}`
	results := make(chan int, 32)
	for range 32 {
		go func() {
			r := httptest.NewRequest("POST", "/v2.0/networks", strings.NewReader(body))
			r.Header.Set("X-Project-Id", "alice")
			w := httptest.NewRecorder()
			c.h.ServeHTTP(w, r)
			results <- w.Code
		}()
	}
	for range 32 {
		if status := <-results; status != 400 && status != 429 {
			t.Errorf("status %d", status)
		}
	}
	if err := share.Bodies.Try("alice", share.Bodies.Share()); err != nil {
		t.Errorf("not all was given back: %v", err)
	}
	if most := share.Values.Most(); most != 0 {
		t.Errorf("%d bytes were taken for values", most)
	}
}

// Requests without a token whose paths and ids are enormous write next to nothing
// to the log: 150 MB of it before.
func TestTheLogIsNotFilledByStrangers(t *testing.T) {
	var log bytes.Buffer
	c := openCloud(t, sqlite.Options{Path: sqlite.Memory}, Options{Auth: stranger{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 100 {
		path := "/v2.0/networks/" + strings.Repeat("x", 900<<10)
		if i%2 == 0 {
			path = "/v2.0/networks"
		}
		c.do("GET", path, "", headerRequestID, "req-"+strings.Repeat("y", 300<<10))
	}
	if log.Len() > 200<<10 {
		t.Errorf("%d bytes of log", log.Len())
	}
	c.get("/v2.0/networks/"+strings.Repeat("x", maxURL)).fails(414, typeLongURI, "16384")
}

// stranger knows nobody.
type stranger struct{}

func (stranger) Authenticate(context.Context, http.Header) (auth.Identity, error) {
	return auth.Identity{}, &auth.Unauthorized{Challenge: "Basic", Reason: "no token"}
}
