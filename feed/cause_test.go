package feed

import (
	"slices"
	"testing"

	"neutrino/store"
)

// Whoever reads the log of a host finds the request there that changed it.
func TestAnAgentLearnsWhichRequestsChangedItsView(t *testing.T) {
	c := newCloud(t)
	client, _ := c.agent(ClientConfig{})
	at(t, client, c.db.Snapshot().Revision())
	var seen []string
	for i, id := range []string{"req-1", "req-2"} {
		rev := c.write(func(tx *store.Tx) {
			tx.Because(id)
			p := vm("p2", 2)
			p.Name = id
			p.AdminStateUp = i == 0
			store.Put(tx, store.Ports, p)
		})
		eventually(t, "view at revision", func() bool {
			v, _ := client.Latest()
			seen = append(seen, v.Causes...)
			return v.Revision >= rev
		})
	}
	if !slices.Equal(seen, []string{"req-1", "req-2"}) {
		t.Errorf("the agent heard of %q", seen)
	}
	if v, _ := client.Latest(); len(v.Causes) > 0 {
		t.Errorf("told twice: %q", v.Causes)
	}
}
