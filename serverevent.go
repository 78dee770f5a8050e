package neutrino

import (
	"strings"
	"time"
)

// ServerEvent is what Nova has to be told of an instance's port, and has not
// acknowledged yet: one event of POST /os-server-external-events (Compute API
// 2.1; dataplane.md section 6.3).
type ServerEvent struct {
	PortID ID `json:"port_id"` // the event's tag
	// Topic is what of the port the event is about. Of one topic only the last
	// word counts.
	Topic    EventTopic `json:"topic"`
	Name     EventName  `json:"name"`
	ServerID string     `json:"server_id"` // the port's device_id
	At       time.Time  `json:"at"`
}

// ID names the event among all that wait: "port/topic".
func (e *ServerEvent) ID() ID { return e.PortID + "/" + ID(e.Topic) }

// EventName is what happened, in Nova's words.
type EventName string

// The events that Nova is told. Plugged and unplugged carry the status
// "completed"; the others have none.
const (
	VIFPlugged     EventName = "network-vif-plugged"
	VIFUnplugged   EventName = "network-vif-unplugged"
	VIFDeleted     EventName = "network-vif-deleted"
	NetworkChanged EventName = "network-changed"
)

// EventTopic is what of a port an event is about.
type EventTopic string

// The topics: whether the port is wired on its host, what the port is, and
// whether it is at all.
const (
	TopicWiring EventTopic = "wiring"
	TopicData   EventTopic = "data"
	TopicPort   EventTopic = "port"
)

// TopicWiringOn is whether the port is wired on a host that it may move to.
func TopicWiringOn(host string) EventTopic { return TopicWiring + EventTopic("/"+host) }

// HasServer reports whether Nova knows the port as one of an instance, the
// device_id being the instance's. Ports that Ironic makes for itself
// ("baremetal:none") are not: those of its instances are "compute:" too.
func (p *Port) HasServer() bool {
	return strings.HasPrefix(p.DeviceOwner, OwnerComputePrefix) && IsUUID(p.DeviceID)
}
