package policytest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// least is how many cases there must be: every route by role, ownership and
// sharing.
const least = 10_000

// tally counts the cases of all scenes and keeps what went wrong, grouped.
type tally struct {
	sync.Mutex
	cases     int
	scenes    int
	failures  map[string]*failure
	uncovered map[string]int
	passed    int             // callers that were looked at by some
	asked     map[string]bool // "GET /v2.0/networks/<network>"
}

type failure struct {
	count   int
	callers []string
	example string
}

func newTally() *tally {
	return &tally{failures: map[string]*failure{}, uncovered: map[string]int{}, asked: map[string]bool{}}
}

// count notes a request that was judged.
func (y *tally) count(method, path string) {
	y.Lock()
	defer y.Unlock()
	y.cases++
	y.asked[method+" "+path] = true
}

func (y *tally) miss(what string) {
	y.Lock()
	defer y.Unlock()
	y.uncovered[what]++
}

// fail notes a case that went wrong; what is equal for many callers is one line.
func (y *tally) fail(what string, c caller, place, example string) {
	y.Lock()
	defer y.Unlock()
	f := y.failures[what]
	if f == nil {
		f = &failure{example: place + ": " + example}
		y.failures[what] = f
	}
	f.count++
	if who := c.role + " of " + nameOf(c.project); !slices.Contains(f.callers, who) && len(f.callers) < 8 {
		f.callers = append(f.callers, who)
	}
}

// Every route, by role, ownership and sharing, does what the reference says.
func TestEveryRouteAnswersEveryCallerAsTheReferenceSays(t *testing.T) {
	policy, y := readPolicy(t), newTally()
	t.Run("scenes", func(t *testing.T) {
		for _, s := range scenes() {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				y.play(t, policy, s)
			})
		}
	})
	y.report(t)
	if y.scenes < len(scenes()) {
		t.Logf("only %d of %d scenes were played: nothing is said about the others", y.scenes, len(scenes()))
		return
	}
	y.everyRoute(t)
	if y.cases < least && !testing.Short() {
		t.Errorf("only %d cases, fewer than %d", y.cases, least)
	}
}

// some are all callers, and with -short each sixth, so that each request is tried by
// others.
func (y *tally) some(all []caller) []caller {
	if !testing.Short() {
		return all
	}
	y.Lock()
	defer y.Unlock()
	var out []caller
	for _, c := range all {
		if y.passed++; y.passed%6 == 0 {
			out = append(out, c)
		}
	}
	return out
}

// play sends all requests of a scene as all callers.
func (y *tally) play(t *testing.T, policy table, s scene) {
	w := newWorld(t)
	if why := w.builds(s); why != "" {
		y.miss(s.name + " (" + why + ")")
		y.Lock()
		defer y.Unlock()
		y.scenes++
		return
	}
	all := callers(s.projects...)
	for _, o := range policy.ops(s) {
		if !y.serves(t, w, s, o) {
			continue
		}
		for _, c := range y.some(all) {
			w.rebuilt(t, s)
			y.try(w, policy, s, o, c)
		}
	}
	fresh := newWorld(t) // without what the requests left
	if why := fresh.builds(s); why != "" {
		t.Fatal(why)
	}
	y.lists(fresh, policy, s, all)
	y.Lock()
	defer y.Unlock()
	y.scenes++
}

// rebuilt is a world whose scene no request has changed.
func (w *world) rebuilt(t *testing.T, s scene) {
	if !w.stale {
		return
	}
	if why := w.builds(s); why != "" {
		t.Fatalf("the scene could be built once, but not again: %s", why)
	}
}

// builds makes the objects of a scene anew. What it left before stays: nobody
// asks for it again. It answers what the server lacks.
func (w *world) builds(s scene) (why string) {
	defer func() {
		switch lacks := recover().(type) {
		case nil:
		case missing:
			why = string(lacks)
		default:
			panic(lacks)
		}
	}()
	w.stale = false
	s.build(w)
	w.tag()
	return ""
}

// tag gives every taggable object of the scene a tag.
func (w *world) tag() {
	paths := map[string]string{"network": "networks", "subnet": "subnets", "port": "ports", "router": "routers",
		"floatingip": "floatingips", "security_group": "security-groups", "subnetpool": "subnetpools"}
	for name, path := range paths {
		if id := w.ids[name]; id != "" {
			w.send(administrator(), "PUT", "/v2.0/"+path+"/"+id+"/tags", `{"tags":["a"]}`)
		}
	}
}

// request fills the tokens of an op; instead replaces one of them.
func (w *world) request(o op, hide bool) (path, body string, ok bool) {
	if o.same {
		if body, ok = w.sameValue(o); !ok {
			return "", "", false
		}
		o.body = body
	}
	if hide {
		defer func(id string) { w.ids[o.hides] = id }(w.ids[o.hides])
		w.ids[o.hides] = nothing
	}
	return w.fill(o.path), w.fill(o.body), true
}

// serves asks as admin whether the server has what an op is about.
func (y *tally) serves(t *testing.T, w *world, s scene, o op) bool {
	w.rebuilt(t, s)
	path, body, ok := w.request(o, false)
	if ok {
		a := w.send(administrator(), o.method, path, body)
		w.stale = w.stale || o.method != "GET" && a.status < 300
		switch {
		case o.attribute == "" || !unsupported(a) && !badValue(a):
			return true
		case badValue(a): // values are looked at before policy (api.md section 1.2)
			o.cite += " " + o.body
		}
	}
	y.miss(o.cite + " in " + o.method)
	return false
}

// takesBack deletes what a POST made, so that the scene is as it was.
func (w *world) takesBack(o op, path string, made answer) bool {
	id, _ := made.one(o.resource)["id"].(string)
	return o.method == "POST" && id != "" &&
		w.send(administrator(), "DELETE", path+"/"+id, "").status == 204
}

// try is one case.
func (y *tally) try(w *world, policy table, s scene, o op, c caller) {
	path, body, ok := w.request(o, false)
	if !ok {
		return
	}
	before := w.db.Snapshot().Revision()
	got := w.send(c, o.method, path, body)
	y.count(o.method, o.path)
	expected := o.judge(c)
	what := func(problem string) string {
		return fmt.Sprintf("%s: want %v (%s), got %s", o.name, expected.statuses, expected.because, problem)
	}
	example := fmt.Sprintf("%s %s %s -> %d %.300s", o.method, path, body, got.status, got.text)
	success := expected.statuses[0] < 300
	if got.status < 300 && o.method != "GET" {
		w.stale = !w.takesBack(o, path, got)
	}
	if o.method == "GET" || got.status >= 400 {
		if after := w.db.Snapshot().Revision(); after != before {
			y.fail(what("a write (S21)"), c, s.name, example)
		}
	}
	if o.empty != "" && len(got.rows(o.empty)) > 0 {
		y.fail(what("rows of another parent (S23)"), c, s.name, example)
	}
	if o.list != "" && !success && got.status == 200 && len(got.rows(o.list)) == 0 {
		return
	}
	if !slices.Contains(expected.statuses, got.status) && !(success && slices.Contains(o.also, got.status)) {
		y.fail(what(fmt.Sprintf("%d %s", got.status, got.kind())), c, s.name, example)
		return
	}
	if problem := wellTyped(got); problem != "" {
		y.fail(what(problem), c, s.name, example)
	}
	// The service role is trusted with the rows of all projects: to it they exist.
	if expected.hidden && o.hides != "" && !c.has("service") {
		y.compare(w, s, o, c, got)
	}
	if got.status < 300 && o.resource != "" {
		shown := got.one(o.resource)
		y.stripped(policy[o.resource], o.fact(c), shown, c, s.name+", "+o.method)
		if o.method == "GET" {
			y.flagged(policy[o.resource], o.fact(c), shown, c, s.name)
		}
	}
}

// wellTyped complains about a refusal whose body does not name its type as
// Neutron does.
func wellTyped(a answer) string {
	kind := a.kind()
	switch {
	case a.status == 403 && kind != "PolicyNotAuthorized" && kind != "AdminRequired" && kind != "NotAuthorized",
		a.status == 404 && !strings.HasSuffix(kind, "NotFound") && !strings.Contains(kind, "NotFoundFor"),
		a.status == 400 && strings.HasPrefix(kind, "no "):
		return fmt.Sprintf("%d of type %s", a.status, kind)
	}
	return ""
}

// compare holds the answer about an object that the caller does not see against
// that about one that does not exist: they must not differ.
func (y *tally) compare(w *world, s scene, o op, c caller, got answer) {
	id := w.ids[o.hides]
	path, body, ok := w.request(o, true)
	if !ok {
		return
	}
	twin := w.send(c, o.method, path, body)
	y.count(o.method, o.path)
	mask := func(a answer) string {
		return strings.ReplaceAll(a.text, id, nothing)
	}
	if twin.status != got.status || twin.kind() != got.kind() || mask(twin) != mask(got) {
		y.fail(fmt.Sprintf("%s: tells what exists from what does not: %d %s and %d %s",
			o.name, got.status, got.kind(), twin.status, twin.kind()), c, s.name, got.text+" and "+twin.text)
	}
}

// stripped checks that an object shows the attributes with letters of their own
// to those only who may see them.
func (y *tally) stripped(r *resource, f fact, shown map[string]any, c caller, place string) {
	for _, a := range r.attributes {
		if _, has := shown[a.attribute]; a.get != "" && has && !f.allows(a.get, c, false) {
			y.fail(a.cite()+" is shown; want stripped: g:"+a.get, c, place, fmt.Sprint(shown["id"]))
		}
	}
}

// flagged checks that the flag shared is the caller's own (api.md section 7, T15).
func (y *tally) flagged(r *resource, f fact, shown map[string]any, c caller, place string) {
	if flag, has := shown["shared"].(bool); has && flag != meets(f.shared, c) {
		y.fail(fmt.Sprintf("%s shared is %v; 7 T15: true iff shared with all or with the caller's project", r.cite(), flag), c, place, fmt.Sprint(shown["id"]))
	}
}

// collection is one list of the server and how its rows are judged.
type collection struct {
	path, many, resource string
	key                  string // of the row's id
}

// collections are those of the reference's tiers 1 and 2 (api.md section 5) and
// of issue 4.
func collections() []collection {
	return []collection{
		{"networks", "networks", "network", "id"},
		{"subnets", "subnets", "subnet", "id"},
		{"subnetpools", "subnetpools", "subnetpool", "id"},
		{"address-scopes", "address_scopes", "address_scope", "id"},
		{"ports", "ports", "port", "id"},
		{"routers", "routers", "router", "id"},
		{"floatingips", "floatingips", "floatingip", "id"},
		{"security-groups", "security_groups", "security_group", "id"},
		{"security-group-rules", "security_group_rules", "security_group_rule", "id"},
		{"rbac-policies", "rbac_policies", "rbac_policy", "id"},
		{"agents", "agents", "agent", "id"},
		{"metering/metering-labels", "metering_labels", "metering_label", "id"},
		{"metering/metering-label-rules", "metering_label_rules", "metering_label_rule", "id"},
		{"network-ip-availabilities", "network_ip_availabilities", "network_ip_availability", "network_id"},
		{"availability_zones", "availability_zones", "availability_zone", "resource"},
		{"service-providers", "service_providers", "service_provider", "name"},
		{"floatingip_pools", "floatingip_pools", "floatingip_pool", "subnet_id"},
	}
}

// lists compares what each caller sees in each collection with what the letters
// leave of the administrator's rows.
func (y *tally) lists(w *world, policy table, s scene, all []caller) {
	admin := administrator()
	networks := projectsOf(w.send(admin, "GET", "/v2.0/networks", "").rows("networks"))
	groups := projectsOf(w.send(admin, "GET", "/v2.0/security-groups", "").rows("security_groups"))
	for _, k := range collections() {
		full := w.send(admin, "GET", "/v2.0/"+k.path, "")
		if full.status != 200 {
			y.miss(fmt.Sprintf("GET /v2.0/%s: %d %s", k.path, full.status, full.kind()))
			continue
		}
		judged := map[string]row{}
		for _, shown := range full.rows(k.many) {
			judged[fmt.Sprint(shown[k.key])] = row{w.factOf(k, shown, networks, groups), shown}
		}
		for _, c := range all {
			before := w.db.Snapshot().Revision()
			got := w.send(c, "GET", "/v2.0/"+k.path, "")
			y.count("GET", "/v2.0/"+k.path)
			if w.db.Snapshot().Revision() != before {
				y.fail("GET /v2.0/"+k.path+" writes (S21)", c, s.name, got.text)
			}
			if got.status != 200 && (k.resource != "availability_zone" || c.has("reader")) {
				y.fail(fmt.Sprintf("GET /v2.0/%s: want 200 (1.9: list 200, filtered), got %d %s", k.path, got.status, got.kind()), c, s.name, got.text)
				continue
			}
			y.scoped(policy[k.resource], k, judged, got.rows(k.many), c, s.name)
		}
	}
	y.unwritten(w, s, all)
}

// row is an object of a list as the administrator sees it.
type row struct {
	fact
	shown map[string]any
}

// scoped compares one list with the letters.
func (y *tally) scoped(r *resource, k collection, judged map[string]row, rows []map[string]any, c caller, place string) {
	seen, list := map[string]bool{}, "GET /v2.0/"+k.path
	for _, shown := range rows {
		id := fmt.Sprint(shown[k.key])
		seen[id] = true
		full, known := judged[id]
		switch {
		case !known:
			// A project's default group may be shown before it is stored (6, W15).
			if !strings.HasPrefix(k.resource, "security_group") || shown["project_id"] != c.project {
				y.fail(list+" shows a row that the administrator does not see", c, place, fmt.Sprint(shown))
			}
			continue
		case !visible(r, k, full.fact, c) && (r.maybe == "" || !full.allows(r.maybe, c, false)):
			y.fail(list+" shows a row that g:"+r.get+" does not", c, place, fmt.Sprint(shown))
			continue
		}
		y.stripped(r, full.fact, shown, c, place+", list")
		y.flagged(r, full.fact, shown, c, place+", list")
		for _, a := range r.attributes {
			_, has := shown[a.attribute]
			if _, exists := full.shown[a.attribute]; exists && !has && (a.get == "" || full.allows(a.get, c, false)) {
				y.fail(a.cite()+" is stripped; want shown: g:"+a.get, c, place, id)
			}
		}
	}
	for id, full := range judged {
		if !seen[id] && visible(r, k, full.fact, c) {
			y.fail(list+" lacks a row that g:"+r.get+" shows", c, place, fmt.Sprintf("%s of %s", id, nameOf(full.owner)))
		}
	}
}

// visible is the letters of a row, and the two rules that no letter says.
func visible(r *resource, k collection, f fact, c caller) bool {
	switch {
	case k.resource == "port" && f.owner == "": // 7 T16: gateway and floating IP ports
		return f.allows("A/S", c, false)
	case k.resource == "floatingip_pool": // 7 T22: as the network is
		return f.allows("A/R/S/shared/external", c, false) && f.allows(r.get, c, false)
	}
	return f.allows(r.get, c, false)
}

func projectsOf(rows []map[string]any) map[any]string {
	out := map[any]string{}
	for _, row := range rows {
		out[row["id"]], _ = row["project_id"].(string)
	}
	return out
}

// factOf is what decides about a row of the administrator's list.
func (w *world) factOf(k collection, row map[string]any, networks, groups map[any]string) fact {
	id, _ := row["id"].(string)
	f := w.shares[id]
	project, _ := row["project_id"].(string)
	switch k.resource {
	case "subnet", "port":
		network, _ := row["network_id"].(string)
		f = w.shares[network]
		f.over = networks[network]
	case "security_group_rule":
		f = fact{over: groups[row["security_group_id"]]}
	case "floatingip_pool":
		network, _ := row["network_id"].(string)
		f = w.shares[network]
		project = networks[network]
	case "network_ip_availability":
		f = fact{}
	}
	f.owner = project
	return f
}

// unwritten asks for lists of projects that do not exist: no group comes of it
// (failures.md S21).
func (y *tally) unwritten(w *world, s scene, all []caller) {
	for _, c := range all {
		for _, path := range []string{"security-groups?tenant_id=nobody", "security-groups?project_id=nobody", "security-group-rules?tenant_id=nobody", "quotas/nobody"} {
			before := w.db.Snapshot().Revision()
			got := w.send(c, "GET", "/v2.0/"+path, "")
			y.count("GET", "/v2.0/"+path)
			if w.db.Snapshot().Revision() != before {
				y.fail("GET /v2.0/"+path+" writes (S21)", c, s.name, got.text)
			}
		}
	}
}
