package hostile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// FuzzAnAttribute sends bytes as an attribute, or as a text in a form of it, and
// judges the plans of what is accepted.
func FuzzAnAttribute(f *testing.F) {
	w := newWorld(f)
	w.furnish()
	w.furnishMore()
	collections := w.registry().collections
	for i, v := range catalogue() {
		f.Add(uint16(i*7), byte(i), []byte(v))
	}
	plans := newJudge(f)
	f.Fuzz(func(t *testing.T, which uint16, form byte, value []byte) {
		w.t, plans.t = t, t
		c := collections[int(which)%len(collections)]
		who := []caller{admin(), member()}[int(which>>8)%2]
		names := slices.Concat(c.create, c.put)
		if len(names) == 0 {
			return
		}
		name := names[int(which>>4)%len(names)]
		v := json.RawMessage(value)
		if forms := formsOf(name); int(form) < 200 && !isPlain(name) {
			v = raw(w.fill(fmt.Sprintf(forms[int(form)%len(forms)], quoted(string(value)))))
		} else if form%2 == 0 {
			v = raw(quoted(string(value)))
		}
		a := w.checked(who, "POST", w.fill(c.path), wrapped(c.one, w.body(c.one), name, v))
		if a.status != 201 {
			return
		}
		attack := attack{w: w, c: c, who: who}
		object := a.one()
		id := w.fill(c.path) + "/" + fmt.Sprint(object[attack.key()])
		if c.one == "port" {
			w.send(admin(), "PUT", id, `{"port":{"binding:host_id":"`+compute+`"}}`)
		}
		plans.look(w, fmt.Sprintf("POST %s %s=%.200s", c.one, name, v))
		if strings.Contains(a.text, `"id"`) || c.one == "binding" {
			attack.clear(id, object)
		}
	})
}
