package openflow

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// SwitchError is a switch's refusal, with the names of the OpenFlow 1.4
// specification.
type SwitchError struct {
	Type, Code uint16
	Text       string // what the switch says in words, where it does
}

// Error is "OFPET_BAD_MATCH OFPBMC_BAD_PREREQ".
func (e *SwitchError) Error() string {
	s := "switch refuses: " + e.name()
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

type errorNames struct {
	kind  string
	codes []string
}

const (
	errorHello        = 0
	errorExperimenter = 0xffff
)

// namesOf is the type's name and its codes' names in order.
func namesOf(kind uint16) errorNames {
	switch kind {
	case errorHello:
		return errorNames{"OFPET_HELLO_FAILED", []string{"OFPHFC_INCOMPATIBLE", "OFPHFC_EPERM"}}
	case 1:
		return errorNames{"OFPET_BAD_REQUEST", []string{"OFPBRC_BAD_VERSION", "OFPBRC_BAD_TYPE", "OFPBRC_BAD_MULTIPART",
			"OFPBRC_BAD_EXPERIMENTER", "OFPBRC_BAD_EXP_TYPE", "OFPBRC_EPERM", "OFPBRC_BAD_LEN", "OFPBRC_BUFFER_EMPTY",
			"OFPBRC_BUFFER_UNKNOWN", "OFPBRC_BAD_TABLE_ID", "OFPBRC_IS_SLAVE", "OFPBRC_BAD_PORT", "OFPBRC_BAD_PACKET",
			"OFPBRC_MULTIPART_BUFFER_OVERFLOW"}}
	case 2:
		return errorNames{"OFPET_BAD_ACTION", []string{"OFPBAC_BAD_TYPE", "OFPBAC_BAD_LEN", "OFPBAC_BAD_EXPERIMENTER",
			"OFPBAC_BAD_EXP_TYPE", "OFPBAC_BAD_OUT_PORT", "OFPBAC_BAD_ARGUMENT", "OFPBAC_EPERM", "OFPBAC_TOO_MANY",
			"OFPBAC_BAD_QUEUE", "OFPBAC_BAD_OUT_GROUP", "OFPBAC_MATCH_INCONSISTENT", "OFPBAC_UNSUPPORTED_ORDER",
			"OFPBAC_BAD_TAG", "OFPBAC_BAD_SET_TYPE", "OFPBAC_BAD_SET_LEN", "OFPBAC_BAD_SET_ARGUMENT"}}
	case 3:
		return errorNames{"OFPET_BAD_INSTRUCTION", []string{"OFPBIC_UNKNOWN_INST", "OFPBIC_UNSUP_INST",
			"OFPBIC_BAD_TABLE_ID", "OFPBIC_UNSUP_METADATA", "OFPBIC_UNSUP_METADATA_MASK", "OFPBIC_BAD_EXPERIMENTER",
			"OFPBIC_BAD_EXP_TYPE", "OFPBIC_BAD_LEN", "OFPBIC_EPERM", "OFPBIC_DUP_INST"}}
	case 4:
		return errorNames{"OFPET_BAD_MATCH", []string{"OFPBMC_BAD_TYPE", "OFPBMC_BAD_LEN", "OFPBMC_BAD_TAG",
			"OFPBMC_BAD_DL_ADDR_MASK", "OFPBMC_BAD_NW_ADDR_MASK", "OFPBMC_BAD_WILDCARDS", "OFPBMC_BAD_FIELD",
			"OFPBMC_BAD_VALUE", "OFPBMC_BAD_MASK", "OFPBMC_BAD_PREREQ", "OFPBMC_DUP_FIELD", "OFPBMC_EPERM"}}
	case 5:
		return errorNames{"OFPET_FLOW_MOD_FAILED", []string{"OFPFMFC_UNKNOWN", "OFPFMFC_TABLE_FULL",
			"OFPFMFC_BAD_TABLE_ID", "OFPFMFC_OVERLAP", "OFPFMFC_EPERM", "OFPFMFC_BAD_TIMEOUT", "OFPFMFC_BAD_COMMAND",
			"OFPFMFC_BAD_FLAGS", "OFPFMFC_CANT_SYNC", "OFPFMFC_BAD_PRIORITY"}}
	case 16:
		return errorNames{"OFPET_FLOW_MONITOR_FAILED", []string{"OFPMOFC_UNKNOWN", "OFPMOFC_MONITOR_EXISTS",
			"OFPMOFC_INVALID_MONITOR", "OFPMOFC_UNKNOWN_MONITOR", "OFPMOFC_BAD_COMMAND", "OFPMOFC_BAD_FLAGS",
			"OFPMOFC_BAD_TABLE_ID", "OFPMOFC_BAD_OUT"}}
	case 17:
		return errorNames{"OFPET_BUNDLE_FAILED", []string{"OFPBFC_UNKNOWN", "OFPBFC_EPERM", "OFPBFC_BAD_ID",
			"OFPBFC_BUNDLE_EXIST", "OFPBFC_BUNDLE_CLOSED", "OFPBFC_OUT_OF_BUNDLES", "OFPBFC_BAD_TYPE",
			"OFPBFC_BAD_FLAGS", "OFPBFC_MSG_BAD_LEN", "OFPBFC_MSG_BAD_XID", "OFPBFC_MSG_UNSUP", "OFPBFC_MSG_CONFLICT",
			"OFPBFC_MSG_TOO_MANY", "OFPBFC_MSG_FAILED", "OFPBFC_TIMEOUT", "OFPBFC_BUNDLE_IN_PROGRESS"}}
	case errorExperimenter:
		return errorNames{"OFPET_EXPERIMENTER", nil}
	}
	return errorNames{"type " + strconv.Itoa(int(kind)), nil}
}

func (e *SwitchError) name() string {
	n := namesOf(e.Type)
	if int(e.Code) < len(n.codes) {
		return n.kind + " " + n.codes[e.Code]
	}
	return fmt.Sprintf("%s code %d", n.kind, e.Code)
}

// decodeError reads the body of an error message.
func decodeError(b []byte) *SwitchError {
	if len(b) < 4 {
		return &SwitchError{Text: "malformed error message"}
	}
	e := &SwitchError{Type: binary.BigEndian.Uint16(b), Code: binary.BigEndian.Uint16(b[2:])}
	switch {
	case e.Type == errorHello:
		e.Text = printable(b[4:])
	case e.Type == errorExperimenter && len(b) >= 8:
		e.Text = fmt.Sprintf("experimenter 0x%x", binary.BigEndian.Uint32(b[4:]))
	}
	return e
}

func printable(b []byte) string {
	if len(b) > 256 {
		b = b[:256]
	}
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c >= ' ' && c < 0x7f {
			out = append(out, c)
		}
	}
	return string(out)
}
