package policytest

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// absence is something that the table speaks of and the server does not have.
type absence struct {
	what, why string // what begins the name of the cases
	found     bool
}

// absences are all of them: what is missing besides fails the test, so that
// nothing leaves the cases unseen.
func absences() []absence {
	var all []absence
	for why, list := range map[string][]string{
		"the server has no such attribute": {
			"api.md 2.1 network is_default", "api.md 2.1 network segments", "api.md 2.2 subnet segment_id",
			"api.md 2.5 port data_plane_status", "api.md 2.5 port hints", "api.md 2.5 port trusted",
			"api.md 2.6 router distributed", "api.md 2.6 router ha", "api.md 2.8 port_forwarding project_id",
		},
		"a network's segment does not change":   {"api.md 2.1 network provider:network_type in PUT", "api.md 2.1 network provider:physical_network in PUT", "api.md 2.1 network provider:segmentation_id in PUT"},
		"ports are normal, or the value is 400": {`api.md 2.5 port binding:vnic_type {"port":{"network_id":"<network>","binding:vnic_type":"direct"}}`},
	} {
		for _, what := range list {
			all = append(all, absence{what: what, why: why})
		}
	}
	return all
}

func (y *tally) report(t *testing.T) {
	keys := make([]string, 0, len(y.failures))
	for k := range y.failures {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(y.failures[b].count, y.failures[a].count), cmp.Compare(a, b))
	})
	for _, k := range keys {
		f := y.failures[k]
		t.Errorf("%d × %s\n      as %s\n      e.g. %s", f.count, k, strings.Join(f.callers, ", "), f.example)
	}
	known := absences()
	var missing []string
	for what := range y.uncovered {
		missing = append(missing, what)
	}
	slices.Sort(missing)
	for _, what := range missing {
		at := slices.IndexFunc(known, func(a absence) bool { return strings.HasPrefix(what, a.what) })
		if at < 0 {
			t.Errorf("NOT COVERED, and nobody says why: %s", what)
			continue
		}
		known[at].found = true
		t.Logf("NOT COVERED: %s: %s", what, known[at].why)
	}
	for _, a := range known {
		if !a.found {
			t.Logf("covered by now, take it off the list: %s", a.what)
		}
	}
	t.Logf("%d cases, %d kinds of mismatch, %d things not covered", y.cases, len(keys), len(missing))
}

// everyRoute holds the requests that were judged against the routes that the
// server says it has, in its description of itself: none may be left out.
func (y *tally) everyRoute(t *testing.T) {
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	got := newWorld(t).send(administrator(), "GET", "/openapi.json", "")
	if err := json.Unmarshal([]byte(got.text), &document); err != nil || len(document.Paths) < 10 {
		t.Fatalf("/openapi.json: %d %.200s", got.status, got.text)
	}
	routes := 0
	for path, verbs := range document.Paths {
		for verb := range verbs {
			verb = strings.ToUpper(verb)
			if !slices.Contains([]string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"}, verb) || isOpen(path) {
				continue
			}
			routes++
			if !y.wasAsked(verb, path) {
				t.Errorf("no case is about %s %s", verb, path)
			}
		}
	}
	t.Logf("%d routes of the server were judged", routes)
}

// isOpen reports whether a path is for everybody, also without a token.
func isOpen(path string) bool {
	return !strings.HasPrefix(path, "/v2.0/") || path == "/v2.0/" || strings.HasPrefix(path, "/v2.0/extensions")
}

// wasAsked reports whether a request was for the route; a name in braces is any
// segment of a path.
func (y *tally) wasAsked(verb, path string) bool {
	want := strings.Split(verb+" "+path, "/")
	for asked := range y.asked {
		have := strings.Split(asked, "/")
		if slices.EqualFunc(want, have, func(w, h string) bool { return w == h || strings.HasPrefix(w, "{") }) {
			return true
		}
	}
	return false
}

// A collection that the server lists and that nobody has judged would be open
// unnoticed.
func TestEveryCollectionOfTheServerIsInTheTable(t *testing.T) {
	policy, w := readPolicy(t), newWorld(t)
	var root struct {
		Resources []struct{ Name, Collection string }
	}
	got := w.send(administrator(), "GET", "/v2.0/", "")
	if err := json.Unmarshal([]byte(got.text), &root); err != nil || len(root.Resources) < 3 {
		t.Fatalf("%d %s", got.status, got.text)
	}
	known := collections()
	for _, r := range root.Resources {
		at := slices.IndexFunc(known, func(k collection) bool {
			return k.many == strings.ReplaceAll(r.Collection, "-", "_") || k.path == r.Collection
		})
		if at < 0 || policy[known[at].resource] == nil {
			t.Errorf("the server lists %s (%s), for which the table has nothing", r.Collection, r.Name)
		}
	}
	for _, k := range known {
		if policy[k.resource] == nil {
			t.Errorf("no line of the table is about %s", k.resource)
		}
		if got := w.send(administrator(), "GET", "/v2.0/"+k.path, ""); got.status != 200 {
			t.Logf("NOT COVERED: the server does not serve /v2.0/%s: %d", k.path, got.status)
		}
	}
}
