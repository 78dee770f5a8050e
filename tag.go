package neutrino

// Tagged holds the words that users attach to an object (standard-attr-tag,
// api.md section 2.28). They are set below the object, not with it.
type Tagged struct {
	Tags []string `json:"tags,omitempty" api:""`
}

// TagList is where the tags are. The list is replaced as a whole, never changed.
func (t *Tagged) TagList() *[]string { return &t.Tags }

// TagList is where the port's tags are. The list is replaced as a whole, never
// changed.
func (p *Port) TagList() *[]string { return &p.Tags }

// Attributes are the attributes that most resources share.
func (s *Standard) Attributes() *Standard { return s }

// Limits of tags (api.md section 2.28).
const (
	MaxTags      = 50  // of one object
	MaxTagLength = 255 // characters
)
