package neutrino

import "net/netip"

// MeteringLabel is a name for the traffic that its rules choose:
// /v2.0/metering/metering-labels (api.md section 2.23). It counts on the
// routers of its project, or on everybody's when it is shared.
type MeteringLabel struct {
	ID          ID     `json:"id" api:"filter,sort"`
	Name        string `json:"name" api:"post,filter,sort,max=255"`
	Description string `json:"description" api:"post,filter,sort,max=1024"`
	ProjectID   string `json:"project_id" api:"post,filter,sort,max=255"`
	Shared      bool   `json:"shared" api:"post,filter,sort"`
}

// Counts reports whether the label counts what the router forwards.
func (l MeteringLabel) Counts(r Router) bool { return l.Shared || l.ProjectID == r.ProjectID }

// MeteringLabelRule chooses traffic between a router's inside and its external
// network: /v2.0/metering/metering-label-rules (api.md section 2.23). What an
// excluded rule chooses is not counted, whatever other rules of the label say.
type MeteringLabelRule struct {
	ID                  ID           `json:"id" api:"filter,sort"`
	MeteringLabelID     ID           `json:"metering_label_id" api:"post,filter,sort,required,max=36"`
	Direction           Direction    `json:"direction" api:"post,filter,sort,required,enum=ingress|egress"`
	Excluded            bool         `json:"excluded" api:"post,filter,sort"`
	RemoteIPPrefix      netip.Prefix `json:"remote_ip_prefix" api:"post,filter,sort,null"`
	SourceIPPrefix      netip.Prefix `json:"source_ip_prefix" api:"post,filter,sort,null"`
	DestinationIPPrefix netip.Prefix `json:"destination_ip_prefix" api:"post,filter,sort,null"`
	ProjectID           string       `json:"project_id" api:"post,max=255"`
}

// Match is the source and the destination that the rule chooses, as they are
// inside the router; one that is not valid is any. Neutron takes a
// remote_ip_prefix for the address inside: the source of what goes out, the
// destination of what comes in.
func (r MeteringLabelRule) Match() (source, destination netip.Prefix) {
	switch {
	case !r.RemoteIPPrefix.IsValid():
		return r.SourceIPPrefix, r.DestinationIPPrefix
	case r.Direction == Egress:
		return r.RemoteIPPrefix, netip.Prefix{}
	}
	return netip.Prefix{}, r.RemoteIPPrefix
}

// MeteringLabelObject names a label in reports.
func MeteringLabelObject(id ID) string { return "metering-label/" + string(id) }
