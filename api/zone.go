package api

import (
	"net/http"
	"slices"
	"strings"

	"neutrino"
	"neutrino/store"
)

// zone is an availability zone: not stored, but what the agents say
// (api.md section 2.30).
type zone struct{ name, resource, state string }

func (z zone) attribute(name string) (value string, ok bool) {
	switch name {
	case "name":
		return z.name, true
	case "resource":
		return z.resource, true
	case "state":
		return z.state, true
	}
	return "", false
}

// zoneList answers /v2.0/availability_zones.
func zoneList(c *call) (*reply, error) {
	if c.method != http.MethodGet {
		return nil, notAllowed(c.method, http.MethodGet)
	}
	zones := zonesOf(c.view())
	for key, values := range c.query {
		if key == paramFields {
			continue
		}
		if _, ok := (zone{}).attribute(key); !ok {
			return nil, badRequest("['%s'] is invalid attribute for filtering", key)
		}
		zones = slices.DeleteFunc(zones, func(z zone) bool {
			value, _ := z.attribute(key)
			return !slices.Contains(values, value)
		})
	}
	fields := fieldsOf(c.query)
	b := appendList([]byte(`{"availability_zones":`), zones, func(b []byte, z zone) []byte {
		return appendZone(b, z, fields)
	})
	return &reply{status: http.StatusOK, body: append(b, '}')}, nil
}

// zonesOf lists the zones of the DHCP agents; a zone is available when one of
// them is up.
func zonesOf(v view) []zone {
	up := map[string]bool{}
	for a := range store.All(v.Reader, store.Agents) {
		if a.AgentType == neutrino.AgentDHCP && a.AvailabilityZone != "" {
			up[a.AvailabilityZone] = up[a.AvailabilityZone] || a.AdminStateUp
		}
	}
	var zones []zone
	for name, available := range up {
		state := "unavailable"
		if available {
			state = "available"
		}
		zones = append(zones, zone{name, "network", state})
	}
	slices.SortFunc(zones, func(a, b zone) int { return strings.Compare(a.name, b.name) })
	return zones
}

func appendZone(b []byte, z zone, fields map[string]bool) []byte {
	b = append(b, '{')
	first := true
	for _, name := range []string{"name", "resource", "state"} {
		if fields != nil && !fields[name] {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		value, _ := z.attribute(name)
		b = appendString(append(appendString(b, name), ':'), value)
	}
	return append(b, '}')
}
