package api

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The state of a small world: which port has each address of a network, and
// its name.
type worldPort struct{ id, name string }

type smallWorld map[string]worldPort

// text is one spelling of a world.
func (w smallWorld) text() string {
	var b strings.Builder
	for _, ip := range slices.Sorted(maps.Keys(w)) {
		fmt.Fprintf(&b, "%s=%s:%s ", ip, w[ip].id, w[ip].name)
	}
	return b.String()
}

func (w smallWorld) addressOf(id string) string {
	for ip, p := range w {
		if p.id == id {
			return ip
		}
	}
	return ""
}

// operation is one request with its answer. called and answered are moments of
// one clock for all clients.
type operation struct {
	verb     string // create, delete, rename, show, list
	ip       string // of create
	id       string // of create: what was answered
	name     string // of create and rename: what was asked; of show: what was answered
	all      string // of list: what was answered
	ok       bool
	called   int64
	answered int64
}

// apply does the operation in the world as the API should, and reports whether
// that has the answer that was seen.
func (op operation) apply(w smallWorld) (smallWorld, bool) {
	at := w.addressOf(op.id)
	switch op.verb {
	case "create":
		_, taken := w[op.ip]
		if taken || !op.ok {
			return w, taken && !op.ok
		}
		next := maps.Clone(w)
		next[op.ip] = worldPort{op.id, op.name}
		return next, true
	case "delete":
		if at == "" || !op.ok {
			return w, at == "" && !op.ok
		}
		next := maps.Clone(w)
		delete(next, at)
		return next, true
	case "rename":
		if at == "" || !op.ok {
			return w, at == "" && !op.ok
		}
		next := maps.Clone(w)
		next[at] = worldPort{op.id, op.name}
		return next, true
	case "show":
		return w, op.ok == (at != "") && (!op.ok || w[at].name == op.name)
	}
	return w, w.text() == op.all
}

// linearizable looks for an order of the operations that explains all answers:
// one in which none comes before an operation that was answered before it was
// called (Wing and Gong, 1993; what was tried is remembered, as Lowe does).
func linearizable(history []operation) bool {
	tried := map[string]bool{}
	var search func(done uint64, w smallWorld) bool
	search = func(done uint64, w smallWorld) bool {
		if done == 1<<len(history)-1 {
			return true
		}
		key := fmt.Sprintf("%x %s", done, w.text())
		if tried[key] {
			return false
		}
		tried[key] = true
		first := int64(1<<63 - 1) // the first answer of those that are left
		for i, op := range history {
			if done&(1<<i) == 0 {
				first = min(first, op.answered)
			}
		}
		for i, op := range history {
			if done&(1<<i) != 0 || op.called > first {
				continue
			}
			if next, fits := op.apply(w); fits && search(done|1<<i, next) {
				return true
			}
		}
		return false
	}
	return search(0, smallWorld{})
}

func TestTheCheckerRefusesWhatCannotHaveBeen(t *testing.T) {
	create := operation{verb: "create", ip: "a", id: "1", name: "x", ok: true, called: 1, answered: 2}
	for what, test := range map[string]struct {
		history []operation
		may     bool
	}{
		"one after the other": {[]operation{create, {verb: "show", id: "1", name: "x", ok: true, called: 3, answered: 4}}, true},
		"a stale answer":      {[]operation{create, {verb: "show", id: "1", called: 3, answered: 4}}, false},
		"not yet answered":    {[]operation{{verb: "list", called: 1, answered: 5}, {verb: "create", ip: "a", id: "1", ok: true, called: 2, answered: 3}}, true},
		"two for one address": {[]operation{create, {verb: "create", ip: "a", id: "2", ok: true, called: 1, answered: 2}}, false},
		"a lost update": {[]operation{create, {verb: "rename", id: "1", name: "y", ok: true, called: 3, answered: 4},
			{verb: "show", id: "1", name: "x", ok: true, called: 5, answered: 6}}, false},
		"either order of two updates": {[]operation{create, {verb: "rename", id: "1", name: "y", ok: true, called: 3, answered: 6},
			{verb: "rename", id: "1", name: "z", ok: true, called: 3, answered: 6}, {verb: "show", id: "1", name: "y", ok: true, called: 7, answered: 8}}, true},
		"an answer that goes back": {[]operation{create, {verb: "rename", id: "1", name: "y", ok: true, called: 3, answered: 9},
			{verb: "show", id: "1", name: "y", ok: true, called: 4, answered: 5}, {verb: "show", id: "1", name: "x", ok: true, called: 6, answered: 7}}, false},
	} {
		if got := linearizable(test.history); got != test.may {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// recorder lets clients do random requests on one network and keeps what they
// were answered.
type recorder struct {
	c       *cloud
	network string
	clock   atomic.Int64

	mu      sync.Mutex
	ids     []string // of ports, also of those that are gone
	history []operation
}

// step does one random request.
func (r *recorder) step(t *testing.T, rng *rand.Rand) {
	r.mu.Lock()
	op := operation{ip: fmt.Sprintf("10.0.0.%d", 10+rng.IntN(2)), name: fmt.Sprint("n", rng.IntN(100))}
	verbs := []string{"create", "list"}
	if len(r.ids) > 0 {
		op.id = r.ids[len(r.ids)-1-rng.IntN(min(len(r.ids), 3))]
		verbs = []string{"create", "create", "delete", "rename", "rename", "show", "show", "list"}
	}
	r.mu.Unlock()
	op.verb = verbs[rng.IntN(len(verbs))]
	op.called = r.clock.Add(1)
	a := r.ask(&op)
	op.answered = r.clock.Add(1)
	op.ok = a.status < 300
	if a.status >= http.StatusInternalServerError {
		t.Errorf("%s: %d %s", op.verb, a.status, a.text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case op.verb == "create" && op.ok:
		op.id = a.one()["id"].(string)
		r.ids = append(r.ids, op.id)
	case op.verb == "create":
		op.id = ""
	case op.verb == "show" && op.ok:
		op.name = a.one()["name"].(string)
	case op.verb == "list":
		w := smallWorld{}
		for _, p := range a.list("ports") {
			ip := p["fixed_ips"].([]any)[0].(map[string]any)["ip_address"].(string)
			w[ip] = worldPort{p["id"].(string), p["name"].(string)}
		}
		op.all = w.text()
	}
	r.history = append(r.history, op)
}

func (r *recorder) ask(op *operation) *answer {
	path := "/v2.0/ports/" + op.id
	switch op.verb {
	case "create":
		return r.c.do("POST", "/v2.0/ports", fmt.Sprintf(
			`{"port":{"network_id":%q,"name":%q,"fixed_ips":[{"ip_address":%q}]}}`, r.network, op.name, op.ip))
	case "delete":
		return r.c.do("DELETE", path, "")
	case "rename":
		return r.c.do("PUT", path, fmt.Sprintf(`{"port":{"name":%q}}`, op.name))
	case "show":
		return r.c.get(path)
	}
	return r.c.get("/v2.0/ports?network_id=" + r.network)
}

// Whatever clients do beside each other, there is an order in which one client
// alone would have got the same answers.
func TestConcurrentHistoriesAreLinearizable(t *testing.T) {
	c := newCloud(t)
	histories, clients, each := 150, 5, 8
	if testing.Short() {
		histories = 30
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	refused, created := 0, 0
	for n := range histories {
		r := &recorder{c: c, network: c.network(fmt.Sprint("linear-", n))}
		c.subnet(r.network, "10.0.0.0/24")
		var wg sync.WaitGroup
		for client := range clients {
			rng := rand.New(rand.NewPCG(seed, uint64(n*clients+client)))
			wg.Go(func() {
				for range each {
					r.step(t, rng)
				}
			})
		}
		wg.Wait()
		for _, op := range r.history {
			if op.verb == "create" && op.ok {
				created++
			} else if op.verb == "create" {
				refused++
			}
		}
		if !linearizable(r.history) {
			slices.SortFunc(r.history, func(a, b operation) int { return int(a.called - b.called) })
			for _, op := range r.history {
				t.Logf("%+v", op)
			}
			t.Fatalf("history %d cannot be explained", n)
		}
	}
	if refused == 0 || created == 0 {
		t.Errorf("%d creations and %d refusals: the test tests nothing", created, refused)
	}
}
