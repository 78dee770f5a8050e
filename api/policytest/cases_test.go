package policytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// op is one request of a scene, and what the reference expects of it from each
// caller.
type op struct {
	name         string // with the line of the reference
	cite         string // the line alone
	method, path string // with tokens
	body         string
	judge        func(caller) want
	hides        string // token of what must look as if it did not exist
	also         []int  // statuses beside success

	resource string // whose object is in the answer
	fact     func(caller) fact
	// attribute is the one that the request is about: where the server does not
	// take it, the case is not covered.
	attribute string
	// same is true for a PUT with the value that the attribute has.
	same bool
	// list is the key of rows that only those may see who are allowed, empty that
	// of rows that nobody sees here.
	list, empty string
}

func judged(name, method, path, body string, judge func(caller) want) op {
	return op{cite: name, name: name, method: method, path: path, body: body, judge: judge}
}

func (o op) hiding(token string) op { o.hides = token; return o }

func (o op) or(statuses ...int) op { o.also = statuses; return o }

// showingNothing lets a GET answer others with an empty list.
func (o op) showingNothing(list string) op { o.list = list; return o }

// absent is a path that leads nowhere, whoever asks.
func absent(name, method, path, body string) op {
	return judged(name+" "+method, method, path, body, func(caller) want {
		return want{[]int{404}, "failures.md S23: a child below another parent is 404", false}
	})
}

func wrap(one, fragments string) string { return `{"` + one + `":{` + fragments + `}}` }

// ops are all requests of a scene.
func (t table) ops(s scene) []op {
	ops := slices.Clone(s.extra)
	for _, i := range s.items {
		ops = append(ops, t.onItem(i)...)
	}
	for _, m := range s.makers {
		ops = append(ops, t.onCollection(m)...)
	}
	return ops
}

// onItem are the requests about one object.
func (t table) onItem(i item) []op {
	r := t[i.resource]
	base := op{path: i.path, hides: i.token, resource: i.resource, fact: func(caller) fact { return i.fact }}
	with := func(l *line, what, method, body string) op {
		o := base
		o.cite, o.name, o.method, o.body = l.cite(), l.cite()+" "+what, method, body
		return o
	}
	show := with(&r.line, "GET", "GET", "")
	show.judge = func(c caller) want { return judgeGet(i.fact, r.get, c) }
	ops := []op{show}
	if r.remove != "" {
		remove := with(&r.line, "DELETE", "DELETE", "")
		remove.judge = i.change(r.get, r.remove)
		ops = append(ops, remove)
	}
	if r.touch != "" {
		ops = append(ops, t.updates(i, with)...)
	}
	for _, a := range r.actions {
		act := with(a, "PUT", "PUT", a.put)
		act.resource, act.attribute = "", a.label
		if i.on != "" {
			act.hides = i.on
			act.path = strings.ReplaceAll(act.path, "<"+i.token+">", "<"+i.on+">")
		}
		act.path += "/" + a.attribute
		act.judge, act.also = i.change(r.get, a.update), a.also
		ops = append(ops, act)
	}
	if r.tags != nil {
		ops = append(ops, t.tagged(i, with)...)
	}
	return ops
}

func (i item) change(get string, rules ...string) func(caller) want {
	return func(c caller) want { return judgeChange(i.fact, get, rules, c) }
}

// either is a change for which the reference leaves open what some letters mean.
func (i item) either(get, letters, maybe string) func(caller) want {
	return func(c caller) want {
		w := judgeChange(i.fact, get, []string{letters}, c)
		if w.statuses[0] == 403 && maybe != "" && i.fact.allows(maybe, c, true) {
			w.statuses = []int{403, 200, 204}
		}
		return w
	}
}

// updates are the PUTs of an object: of what has no policy of its own, of every
// attribute that has one, also with its present value, and of what cannot be
// changed.
func (t table) updates(i item, with func(*line, string, string, string) op) []op {
	r := t[i.resource]
	touch := with(&r.line, "PUT", "PUT", wrap(i.resource, r.touch))
	touch.judge = i.change(r.get, r.update)
	readOnly := with(&r.line, "PUT read-only id", "PUT", wrap(i.resource, `"id":"`+nothing+`"`))
	readOnly.hides = ""
	readOnly.judge = func(c caller) want {
		w := want{[]int{400}, "7 T4, 1.2: PUT with read-only keys is 400", false}
		if strings.Count(i.path, "<") > 1 && !i.fact.sees(r.get, c) {
			w.statuses = []int{400, 404} // the parent's absence may come first
		}
		return w
	}
	ops := []op{touch, readOnly}
	for _, a := range r.attributes {
		if a.update == "" {
			continue
		}
		put := with(a, "PUT", "PUT", wrap(i.resource, a.put))
		put.attribute, put.also = a.label, a.also
		put.judge = func(c caller) want {
			w := judgeChange(i.fact, r.get, []string{r.update, a.update}, c)
			if w.statuses[0] == 403 && a.maybe != "" && i.fact.allows(r.update, c, true) && i.fact.allows(a.maybe, c, true) {
				w.statuses = []int{403, 200}
			}
			return w
		}
		both := with(a, "PUT with "+r.touch, "PUT", wrap(i.resource, r.touch+","+a.put))
		both.attribute, both.also, both.judge = put.attribute, put.also, put.judge
		ops = append(ops, put, both)
		if a.label == a.attribute { // the present value of what is a case of its own is not that case
			same := with(a, "PUT the same value", "PUT", "")
			same.attribute, same.also, same.same = put.attribute, append([]int{400}, a.also...), true
			rules := []string{r.update} // the value names all parts of the attribute
			for _, part := range r.attributes {
				if part.attribute == a.attribute {
					rules = append(rules, part.update)
				}
			}
			same.judge = i.change(r.get, rules...)
			ops = append(ops, same)
		}
		if a.initial != "" {
			reset := with(a, "PUT the default (S14)", "PUT", wrap(i.resource, a.initial))
			reset.attribute, reset.also, reset.judge = put.attribute, append([]int{400, 409}, a.also...), put.judge
			ops = append(ops, reset)
		}
	}
	return ops
}

// tagged are the requests about an object's tags (api.md section 2.28).
func (t table) tagged(i item, with func(*line, string, string, string) op) []op {
	r := t[i.resource]
	tag := func(method, below, body, letters string) op {
		o := with(r.tags, method+" tags"+below, method, body)
		o.path += "/tags" + below
		o.resource, o.attribute = "", "tags"
		o.judge = i.change(r.get, letters)
		if method == "GET" {
			o.judge = func(c caller) want {
				// Who sees the object but not its tags is told that they do not exist.
				w := judgeGet(i.fact, letters, c)
				w.hidden = !i.fact.sees(r.get, c)
				return w
			}
		}
		if method == "DELETE" {
			o.judge = i.either(r.get, letters, r.tags.maybe)
		}
		return o
	}
	return []op{
		tag("GET", "", "", r.tags.get),
		tag("GET", "/a", "", r.tags.get),
		tag("PUT", "", `{"tags":["a","b"]}`, r.tags.update),
		tag("POST", "", `{"tags":["c"]}`, r.tags.create),
		tag("PUT", "/d", "", r.tags.update),
		tag("DELETE", "/a", "", r.tags.update),
		tag("DELETE", "", "", r.tags.update),
	}
}

// onCollection are the POSTs of a resource.
func (t table) onCollection(m maker) []op {
	r := t[m.resource]
	post := func(l *line, what string, fragments string, rules ...string) op {
		return op{
			cite: l.cite(), name: l.cite() + " " + what, method: "POST", path: m.path, body: wrap(m.resource, fragments),
			hides: m.hides, resource: m.resource, fact: m.fact,
			judge: func(c caller) want { return judgeCreate(m.fact(c), m.parent, rules, c) },
		}
	}
	ops := []op{post(&r.line, "POST", r.post, r.create), t.foreign(m), t.bulk(m)}
	for _, a := range r.attributes {
		if a.create == "" || a.post == "" {
			continue
		}
		set := post(a, "POST", r.post+","+a.post, r.create, a.create)
		set.attribute, set.also = a.label, a.also
		ops = append(ops, set)
		if a.initial != "" {
			unset := post(a, "POST the default (T1)", r.post+","+a.initial, r.create)
			unset.attribute, unset.also = a.label, a.also
			ops = append(ops, unset)
		}
	}
	return ops
}

// foreign is a POST for another project (api.md section 7, T3). What the
// service role may do beyond its project the reference leaves open.
func (t table) foreign(m maker) op {
	r := t[m.resource]
	const stranger = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a09"
	o := op{
		cite: r.cite() + " project_id", name: r.cite() + " POST for another project", method: "POST", path: m.path, attribute: "project_id",
		body: wrap(m.resource, r.post+`,"project_id":"`+stranger+`"`),
	}
	o.judge = func(c caller) want {
		f := m.fact(c)
		own := judgeCreate(f, m.parent, []string{r.create}, c)
		switch {
		case c.has("admin"):
			return want{[]int{201}, "1.5: admin may set project_id", false}
		case f.allows("S", c, true) && f.allows(r.create, c, true):
			return want{[]int{201, 400}, "1.5", false}
		case own.statuses[0] == 201:
			return want{[]int{400}, "7 T3: other-project project_id in a member's POST is 400", false}
		}
		return want{append([]int{400}, own.statuses...), "7 T3; " + own.because, false}
	}
	return o
}

// bulk is two objects, one of them with an attribute that has a policy of its
// own: all or nothing.
func (t table) bulk(m maker) op {
	r := t[m.resource]
	rules, second := []string{r.create}, r.post
	var also []int
	attribute := ""
	for _, a := range r.attributes {
		if a.create != "" && a.post != "" && a.label == a.attribute {
			rules, second, also, attribute = append(rules, a.create), r.post+","+a.post, a.also, a.label
			break
		}
	}
	many := manyOf(m.resource)
	return op{
		cite: r.cite() + " " + attribute, name: r.cite() + " bulk POST, the second with " + attribute, method: "POST", path: m.path, hides: m.hides,
		body:      fmt.Sprintf(`{%q:[{%s},{%s}]}`, many, r.post, second),
		attribute: attribute, also: also,
		judge: func(c caller) want { return judgeCreate(m.fact(c), m.parent, rules, c) },
	}
}

// manyOf is the key of a list.
func manyOf(one string) string {
	if stem, ok := strings.CutSuffix(one, "y"); ok {
		return stem + "ies"
	}
	return one + "s"
}

// unsupported reports whether a refusal says that the server has no such
// attribute, or none that can be sent so.
func unsupported(a answer) bool {
	if a.status == 405 || a.status == 501 {
		return true
	}
	if a.status == 404 && a.kind() == "HTTPNotFound" {
		return true // the path
	}
	return a.status == 400 && (strings.Contains(a.text, "Unrecognized attribute") ||
		strings.Contains(a.text, "Cannot update read-only") || strings.Contains(a.text, "not allowed in POST"))
}

// badValue reports whether a refusal says that an attribute never has the value.
func badValue(a answer) bool {
	return a.status == 400 && strings.Contains(a.text, "Invalid input for ") && strings.Contains(a.text, ". Reason: ")
}

// sameValue is a PUT of the value that an attribute has.
func (w *world) sameValue(o op) (string, bool) {
	shown := w.send(administrator(), "GET", w.fill(o.path), "").one(o.resource)
	value, ok := shown[o.attribute]
	b, err := json.Marshal(map[string]any{o.resource: map[string]any{o.attribute: value}})
	return string(b), ok && err == nil
}
