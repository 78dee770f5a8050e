package neutrino

// PortBinding is one host of a port: /v2.0/ports/{id}/bindings (api.md section
// 2.26). A port has one active binding, which its own binding attributes are,
// and others on the hosts that its instance may move to.
type PortBinding struct {
	Host       string        `json:"host" api:"post,put,filter,required,max=255"`
	VIFType    string        `json:"vif_type" api:"filter"`
	VIFDetails VIFDetails    `json:"vif_details" api:""`
	VNICType   string        `json:"vnic_type" api:"post,put,filter,default=normal,enum=normal"`
	Profile    Opaque        `json:"profile" api:"post,put"`
	Status     BindingStatus `json:"status" api:"filter"`

	// CTZone is [Port.CTZone] of the host.
	CTZone uint16 `json:"ct_zone,omitempty" api:"internal"`
	// Wired says of an inactive binding that its host has the port's interface
	// and all that filters it, which Nova waits for before an instance moves. It
	// is kept only where Nova is told.
	Wired bool `json:"wired,omitempty" api:"internal"`
}

// BindingStatus says whether a binding is the one that its port lives by.
type BindingStatus string

// The statuses of a binding.
const (
	BindingActive   BindingStatus = "ACTIVE"
	BindingInactive BindingStatus = "INACTIVE"
)

// Binding is the port's active binding; it has no host while the port is not
// bound.
func (p *Port) Binding() PortBinding {
	return PortBinding{Host: p.HostID, VIFType: p.VIFType, VIFDetails: p.VIFDetails, VNICType: p.VNICType,
		Profile: p.Profile, Status: BindingActive, CTZone: p.CTZone}
}

// Bind makes b the port's active binding.
func (p *Port) Bind(b PortBinding) {
	p.HostID, p.VIFType, p.VIFDetails, p.VNICType, p.Profile, p.CTZone =
		b.Host, b.VIFType, b.VIFDetails, b.VNICType, b.Profile, b.CTZone
}
