package intent

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neutrino"
	"neutrino/store"
)

// conditions are what each agent of a host shows.
func (c *cloud) conditions(host string) [][]neutrino.Pending {
	c.t.Helper()
	var out [][]neutrino.Pending
	for a := range store.By(c.db.Snapshot(), store.AgentsByHost, host) {
		var config struct {
			Conditions []neutrino.Pending `json:"conditions"`
			Devices    *int               `json:"devices"`
		}
		if err := json.Unmarshal([]byte(a.Configurations), &config); err != nil {
			c.t.Fatal(err)
		}
		if a.AgentType == neutrino.AgentOVS && config.Devices == nil {
			c.t.Errorf("the rest of %s is gone", a.Configurations)
		}
		out = append(out, config.Conditions)
	}
	return out
}

func TestAgentsShowWhatIsWrongOnTheirHost(t *testing.T) {
	c := newCloud(t)
	c.register("net1")
	n := c.network(alice, neutrino.Network{})
	p := c.port(admin, neutrino.Port{NetworkID: n.ID, HostID: "net1", DeviceOwner: "compute:nova"})
	gateway := c.port(admin, neutrino.Port{NetworkID: n.ID, HostID: "net1", DeviceOwner: neutrino.OwnerDHCP})
	report := func(pending ...neutrino.Pending) {
		c.do(admin, func(tx *Tx) error {
			return Report(tx, neutrino.Report{Host: "net1", Pending: pending}, func(neutrino.ID) bool { return true })
		})
	}
	noticed := neutrino.Pending{Object: neutrino.PortObject(gateway.ID), Reason: "duplicate address", Kind: neutrino.Noticed}
	failing := neutrino.Pending{Object: neutrino.NetworkObject(n.ID), Reason: "dnsmasq is not installed"}
	unplugged := neutrino.Pending{Object: neutrino.PortObject(p.ID), Reason: "not there yet", Kind: neutrino.Waiting}
	report(failing, noticed, unplugged)
	for _, got := range c.conditions("net1") {
		if diff := cmp.Diff([]neutrino.Pending{failing, noticed}, got); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
	}
	if len(c.conditions("net1")) == 0 {
		t.Fatal("the host has no agent")
	}
	// What is only noticed leaves the port in use.
	if got := c.storedPort(gateway.ID).Status; got != neutrino.PortActive {
		t.Errorf("the port is %s", got)
	}
	if got := c.storedPort(p.ID).Status; got != neutrino.PortDown {
		t.Errorf("the port that waits is %s", got)
	}
	before := c.db.Snapshot().Revision()
	if report(failing, noticed, unplugged); c.db.Snapshot().Revision() != before {
		t.Error("a report without news wrote")
	}
	report()
	for _, got := range c.conditions("net1") {
		if len(got) != 0 {
			t.Errorf("all is well, and it says %v", got)
		}
	}
}

func TestOnlySoManyConditionsAreShown(t *testing.T) {
	c := newCloud(t)
	c.register("net1")
	var all []neutrino.Pending
	for i := range 3 * maxConditions {
		all = append(all, neutrino.Pending{Object: fmt.Sprintf("network/%d", i), Reason: "the switch is gone"})
	}
	c.do(admin, func(tx *Tx) error {
		return Report(tx, neutrino.Report{Host: "net1", Pending: all}, func(neutrino.ID) bool { return true })
	})
	for _, got := range c.conditions("net1") {
		if len(got) != maxConditions+1 || got[maxConditions].Reason != fmt.Sprintf("and %d more; neutrino agent status on the host lists all", 2*maxConditions) {
			t.Errorf("%d are shown, the last one is %v", len(got), got[len(got)-1])
		}
	}
}
