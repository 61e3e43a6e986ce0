package classify

import _ "embed"

// Builtin is the text of the rules that come with the program, in the language that the
// room config reads; BuiltinName is what they are called where a file is named.
//
//go:embed builtin.rules
var Builtin string

// BuiltinName is the name of Builtin in findings and in lists.
const BuiltinName = "builtin:rules"
