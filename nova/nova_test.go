package nova

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"neutrino"
	"neutrino/intent"
	"neutrino/intent/serverevent"
	"neutrino/nova/novatest"
	"neutrino/store"
	"neutrino/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// world is a store, a Nova, and what stands between them.
type world struct {
	*testing.T
	db    *store.DB
	svc   *intent.Service
	cloud *novatest.Cloud
	log   *lockedBuffer

	mu       sync.Mutex
	outcomes map[Outcome]int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	db := storetest.Open(t)
	return &world{T: t, db: db, svc: intent.New(db, intent.DefaultConfig()), cloud: novatest.New(t), log: &lockedBuffer{}, outcomes: map[Outcome]int{}}
}

func (w *world) options() Options {
	return Options{
		AuthURL: w.cloud.AuthURL(), Username: novatest.Username, Password: novatest.Password, ProjectName: novatest.Project,
		Observe: func(_ neutrino.EventName, o Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.outcomes[o]++
		},
	}
}

func (w *world) count(o Outcome) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcomes[o]
}

// runs starts a notifier; it ends with the story, or by the function.
func (w *world) runs(adjust ...func(*Notifier)) (end func()) {
	w.Helper()
	n, err := New(w.db, w.options(), func(ctx context.Context, done map[neutrino.ID]store.Revision) error {
		return w.svc.Do(ctx, intent.Caller{Admin: true}, func(tx *intent.Tx) error { serverevent.Settle(tx, done); return nil })
	})
	if err != nil {
		w.Fatal(err)
	}
	n.log = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, f := range adjust {
		f(n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(end)
	return end
}

// says writes events down, each in a transaction of its own: "port topic name".
func (w *world) says(events ...string) {
	w.Helper()
	for _, text := range events {
		f := strings.Fields(text)
		w.put(&neutrino.ServerEvent{PortID: neutrino.ID(f[0]), Topic: neutrino.EventTopic(f[1]), Name: neutrino.EventName(f[2]), ServerID: "server-of-" + f[0], At: time.Now()})
	}
}

func (w *world) put(events ...*neutrino.ServerEvent) {
	w.Helper()
	_, err := w.db.Update(w.Context(), func(tx *store.Tx) error {
		for _, e := range events {
			store.Put(tx, store.ServerEvents, e)
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) until(what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not within 15 s: %s; Nova has %v; log:\n%s", what, w.cloud.Messages(), w.log)
		}
	}
}

func (w *world) settled() {
	w.Helper()
	w.until("everything is acknowledged", func() bool { return store.Len(w.db.Snapshot(), store.ServerEvents) == 0 })
}

// heard wants the messages: each is "port name, port name".
func (w *world) heard(want ...string) {
	w.Helper()
	w.settled()
	var got []string
	for _, m := range w.cloud.Messages() {
		var events []string
		for _, e := range m {
			events = append(events, e.Tag+" "+strings.TrimPrefix(e.Name, "network-"))
			if e.ServerID != "server-of-"+e.Tag || (e.Status == "completed") != strings.Contains(e.Name, "plugged") {
				w.Errorf("sent %+v", e)
			}
		}
		got = append(got, strings.Join(events, ", "))
	}
	if !slices.Equal(got, want) {
		w.Errorf("Nova heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheFirstEventGoesAtOnceAndTheOthersGather(t *testing.T) {
	w := newWorld(t)
	w.runs()
	w.cloud.Hold()
	w.says("p1 wiring network-vif-plugged")
	w.until("the first message", func() bool { return w.cloud.Attempts() == 1 })
	w.says("p2 wiring network-vif-plugged", "p1 data network-changed", "p3 port network-vif-deleted", "p2 data network-changed")
	w.cloud.Release()
	// Of a port one event is in a message.
	w.heard("p1 vif-plugged", "p2 vif-plugged, p1 changed, p3 vif-deleted", "p2 changed")
	if n := w.count(Sent); n != 5 || w.cloud.Logins() != 1 {
		t.Errorf("%d events sent, %d logins", n, w.cloud.Logins())
	}
}

func TestAnEventReachesNovaSoon(t *testing.T) {
	w := newWorld(t)
	w.runs()
	w.says("p0 wiring network-vif-plugged") // logs in
	w.settled()
	began := time.Now()
	w.says("p1 wiring network-vif-plugged")
	w.until("the event", func() bool { return len(w.cloud.Events()) == 2 })
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	} else {
		t.Logf("%v from the write to Nova", took)
	}
}

func TestWhileNovaIsDownTheLastWordIsKeptAndTheOrder(t *testing.T) {
	w := newWorld(t)
	w.cloud.Fall()
	w.runs()
	w.says("p1 wiring network-vif-plugged", "p1 data network-changed", "p2 wiring network-vif-plugged")
	w.until("an attempt", func() bool { return w.count(Failed) > 0 })
	w.says("p1 wiring network-vif-unplugged", "p1 wiring network-vif-plugged")
	w.cloud.Rise()
	w.heard("p1 changed, p2 vif-plugged", "p1 vif-plugged")
	if said := w.log.String(); !strings.Contains(said, "not told of ports, trying again") {
		t.Errorf("nobody is told that Nova is down:\n%s", said)
	}
}

func TestWhatWaitedBeforeAStartIsSent(t *testing.T) {
	w := newWorld(t)
	w.cloud.Hold()
	end := w.runs()
	w.says("p1 wiring network-vif-plugged")
	w.until("the message", func() bool { return w.cloud.Attempts() == 1 })
	end() // Nova has the message, and its word is not heard any more
	w.cloud.Release()
	w.runs()
	w.settled()
	for _, m := range w.cloud.Messages() {
		if len(m) != 1 || m[0].Tag != "p1" {
			t.Errorf("Nova heard %v", m)
		}
	}
	if w.cloud.Attempts() != 2 {
		t.Errorf("it was sent %d times", w.cloud.Attempts())
	}
}

func TestAnUnknownServerIsAnAnswer(t *testing.T) {
	w := newWorld(t)
	codes := map[string]int{"p1": 404, "p2": 422, "p3": 200, "p4": 400, "p6": 200}
	w.cloud.Answer(func(e novatest.Event) int { return codes[e.Tag] })
	w.put(word("p1"), word("p2"), word("p3"), word("p4"))
	w.runs()
	w.heard("p1 vif-plugged, p2 vif-plugged, p3 vif-plugged, p4 vif-plugged")
	if w.count(Refused) != 3 || w.count(Sent) != 1 || !strings.Contains(w.log.String(), "code=404") {
		t.Errorf("outcomes %v, log:\n%s", w.outcomes, w.log)
	}
	// Nova of old says so once for all.
	w.cloud.AnswerWhole(func([]novatest.Event) (int, string) {
		return http.StatusNotFound, `{"itemNotFound": {"code": 404, "message": "No instances found for any event"}}`
	})
	w.says("p5 wiring network-vif-plugged")
	w.settled()
	if w.count(Refused) != 4 || w.count(Failed) != 0 {
		t.Errorf("outcomes %v", w.outcomes)
	}
	// Another 404 is a wrong address, and nothing is lost.
	w.cloud.AnswerWhole(func([]novatest.Event) (int, string) { return http.StatusNotFound, "<html>not here</html>" })
	w.says("p6 wiring network-vif-plugged")
	w.until("a failure", func() bool { return w.count(Failed) > 0 })
	w.cloud.AnswerWhole(nil)
	w.settled()
	if last := w.cloud.Events(); last[len(last)-1].Tag != "p6" {
		t.Errorf("Nova heard %v", last)
	}
}

func word(port string) *neutrino.ServerEvent {
	return &neutrino.ServerEvent{PortID: neutrino.ID(port), Topic: neutrino.TopicWiring, Name: neutrino.VIFPlugged, ServerID: "server-of-" + port, At: time.Now()}
}

func TestWhatNovaDidNotTakeIsSentAgainAndNotOvertaken(t *testing.T) {
	w := newWorld(t)
	failures := 2
	w.cloud.Answer(func(e novatest.Event) int {
		if e.Tag == "p1" && failures > 0 {
			failures--
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	w.put(word("p1"), word("p2"))
	w.says("p1 data network-changed")
	w.runs()
	w.heard("p1 vif-plugged, p2 vif-plugged", "p1 vif-plugged", "p1 vif-plugged", "p1 changed")
}

func TestOneEventThatNovaCannotReadHoldsNoOtherUp(t *testing.T) {
	w := newWorld(t)
	w.cloud.AnswerWhole(func(all []novatest.Event) (int, string) {
		if slices.ContainsFunc(all, func(e novatest.Event) bool { return e.Tag == "p3" }) {
			return http.StatusBadRequest, `{"badRequest": {"code": 400, "message": "Invalid input"}}`
		}
		return 0, ""
	})
	w.put(word("p1"), word("p2"), word("p3"), word("p4"), word("p5"))
	w.runs()
	w.heard("p1 vif-plugged, p2 vif-plugged", "p4 vif-plugged, p5 vif-plugged")
	if w.count(Refused) != 1 || w.count(Sent) != 4 {
		t.Errorf("outcomes %v", w.outcomes)
	}
}

func TestATokenThatEndedIsRenewedOnTheWay(t *testing.T) {
	w := newWorld(t)
	w.runs()
	w.says("p1 wiring network-vif-plugged")
	w.settled()
	w.cloud.Expire()
	w.says("p2 wiring network-vif-plugged")
	w.heard("p1 vif-plugged", "p2 vif-plugged")
	if w.cloud.Logins() != 2 || w.count(Failed) != 0 {
		t.Errorf("%d logins, outcomes %v", w.cloud.Logins(), w.outcomes)
	}
}

func TestWhatIsTooOldIsGivenUpAndSaid(t *testing.T) {
	w := newWorld(t)
	old := word("p1")
	old.At = time.Now().Add(-maxAge - time.Minute)
	w.put(old, word("p2"))
	w.runs()
	w.heard("p2 vif-plugged")
	if w.count(Dropped) != 1 || !strings.Contains(w.log.String(), "given up") {
		t.Errorf("outcomes %v, log:\n%s", w.outcomes, w.log)
	}
	var many queue
	for i := range maxWaiting + 3 {
		many = append(many, event{word(fmt.Sprint(i)), store.Revision(i)})
	}
	if keep, gone := many.bounded(time.Now()); len(keep) != maxWaiting || len(gone) != 3 || gone[0].PortID != "0" {
		t.Errorf("%d are kept, %d given up", len(keep), len(gone))
	}
}

func TestAMessageHasABound(t *testing.T) {
	w := newWorld(t)
	var all []*neutrino.ServerEvent
	for i := range maxBatch + 50 {
		all = append(all, word(fmt.Sprintf("p%03d", i)))
	}
	w.put(all...)
	w.runs()
	w.settled()
	if m := w.cloud.Messages(); len(m) != 2 || len(m[0]) != maxBatch || len(m[1]) != 50 {
		t.Errorf("%d messages", len(m))
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	w := newWorld(t)
	end := w.runs(func(n *Notifier) { n.client.opts.Password = "wrong-planted-password" })
	w.says("p1 wiring network-vif-plugged")
	w.until("a refused login", func() bool { return strings.Contains(w.log.String(), "check [nova] username") })
	end()
	w.cloud.AnswerWhole(func([]novatest.Event) (int, string) { return http.StatusForbidden, "no" })
	end = w.runs()
	w.until("a refused message", func() bool { return strings.Contains(w.log.String(), "give it the role admin") })
	end()
	w.cloud.AnswerWhole(func([]novatest.Event) (int, string) { return http.StatusInternalServerError, "no" })
	w.runs()
	w.until("a failed message", func() bool { return strings.Contains(w.log.String(), "status 500") })
	w.cloud.AnswerWhole(nil)
	w.settled()
	if said := w.log.String(); strings.Contains(said, "planted") {
		t.Errorf("a secret in the log:\n%s", said)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	w := newWorld(t)
	for want, spoil := range map[string]func(*Options){
		"[nova] username":         func(o *Options) { o.Username = "" },
		"[nova] password":         func(o *Options) { o.Password = "" },
		"[nova] project_name":     func(o *Options) { o.ProjectName = "" },
		"[nova] auth_url":         func(o *Options) { o.AuthURL = "controller:5000" },
		"[nova] endpoint_type":    func(o *Options) { o.EndpointType = "private" },
		"[nova] cafile":           func(o *Options) { o.CAFile = "/nonexistent" },
		"[nova] auth_url: not an": func(o *Options) { o.AuthURL = "http://user:secret@controller/" },
	} {
		o := w.options()
		spoil(&o)
		if _, err := New(w.db, o, nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want an error about %s", err, want)
		}
	}
	// An endpoint that the catalog has not is said, and looked for again.
	o := w.options()
	o.Region, o.EndpointType = "RegionTwo", "publicURL"
	c, err := newClient(&o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.send(t.Context(), []event{{word("p1"), 1}}); err == nil || !strings.Contains(err.Error(), "check [nova] region_name") {
		t.Errorf("%v", err)
	}
}
