package intent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"neutrino"
	"neutrino/store"
)

// maxConditions is how many conditions an agent shows. One broken surface
// concerns every object of a host.
const maxConditions = 32

// reportConditions has the host's agents show what is wrong there, with the
// object and the reason, as configurations.conditions. A host without any has
// no such key.
func reportConditions(tx *Tx, r neutrino.Report) error {
	var shown []neutrino.Pending
	left := 0
	for _, p := range r.Pending {
		switch {
		case awaitsPlug(tx, p):
		case len(shown) == maxConditions:
			left++
		default:
			shown = append(shown, p)
		}
	}
	if left > 0 {
		shown = append(shown, neutrino.Pending{Object: neutrino.HostObject, Reason: fmt.Sprintf("and %d more; neutrino agent status on the host lists all", left)})
	}
	for _, old := range slices.Collect(store.By(tx.Tx, store.AgentsByHost, r.Host)) {
		next := *old
		if err := setConditions(&next, shown); err != nil {
			return err
		}
		if next.Configurations != old.Configurations {
			store.Get(tx.Tx, store.Agents, old.ID)
			store.Put(tx.Tx, store.Agents, &next)
		}
	}
	return nil
}

// awaitsPlug reports whether a port only waits for who runs its instance to plug
// it in, which every port does for a while.
func awaitsPlug(tx *Tx, p neutrino.Pending) bool {
	id, isPort := strings.CutPrefix(p.Object, neutrino.PortObject(""))
	if !isPort || p.Kind != neutrino.Waiting {
		return false
	}
	port, ok := store.Peek(tx.Tx, store.Ports, neutrino.ID(id))
	return !ok || !strings.HasPrefix(port.DeviceOwner, neutrino.OwnerNetworkPrefix)
}

func setConditions(a *neutrino.Agent, shown []neutrino.Pending) error {
	const key = "conditions"
	config := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(cmp.Or(a.Configurations, "{}")), &config); err != nil {
		return fmt.Errorf("configurations of agent %s: %w", a.ID, err)
	}
	if _, has := config[key]; !has && len(shown) == 0 {
		return nil
	}
	delete(config, key)
	if len(shown) > 0 {
		text, err := json.Marshal(shown)
		if err != nil {
			return err
		}
		config[key] = text
	}
	text, err := json.Marshal(config)
	a.Configurations = neutrino.Opaque(text)
	return err
}
