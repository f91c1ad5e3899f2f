/** Of the report's page, for light and dark screens. */
export const STYLE = `
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#656d76;--paper:#fff;--box:#f6f8fa;--line:#d8dee4;--good:#2f81c7;--ok:#1a7f37;--bad:#cf222e;--fault:#f2b84b;--shade:#f2b84b22}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#8d96a0;--paper:#0d1117;--box:#161b22;--line:#30363d;--good:#58a6ff;--ok:#3fb950;--bad:#f85149;--fault:#bb8009;--shade:#bb800922}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
header,main{max-width:1160px;margin:0 auto;padding:16px 24px}
h1{font-size:26px;margin:8px 0 0}h2{font-size:19px;margin:0}header p,.name{color:var(--soft);margin:2px 0 8px}
section{border:1px solid var(--line);border-radius:8px;padding:18px 20px;margin:22px 0}
table{border-collapse:collapse;font-size:13px;width:100%}th,td{text-align:left;padding:5px 7px;border-bottom:1px solid var(--line);white-space:nowrap}th{white-space:normal;vertical-align:bottom}
th{color:var(--soft);font-weight:600}td small,.measures small{display:block;color:var(--soft)}td.broken{color:var(--bad);font-weight:600}
td.errors{white-space:normal;min-width:260px;color:var(--soft)}a{color:inherit}
.scroll{overflow-x:auto}svg{width:100%;min-width:760px;display:block;margin:10px 0}
.badge,.bound{border-radius:20px;padding:1px 10px;font-size:12px;font-weight:600;border:1px solid var(--line);white-space:nowrap}
.bound{display:inline-block;margin:2px;font-weight:400}
.passed{color:var(--ok)}.failed,.aborted{color:var(--bad)}.impossible{color:var(--soft)}
.problems{color:var(--bad);margin:8px 0}.problems li{overflow-wrap:anywhere}
.measures{display:flex;flex-wrap:wrap;gap:8px;margin:10px 0}.measures div{background:var(--box);border-radius:6px;padding:6px 12px;font-size:12px;color:var(--soft);min-width:104px}
.measures b{display:block;font-size:17px;color:var(--ink)}
details{margin-top:8px}summary{cursor:pointer;color:var(--soft)}.events td:last-child{white-space:normal}
text{font:12px system-ui,sans-serif;fill:var(--ink)}.label{text-anchor:end;font-weight:600}.small{text-anchor:end;font-size:10px;fill:var(--soft)}
.tick{text-anchor:middle;fill:var(--soft);font-size:11px}.mark{font-size:11px;fill:var(--soft)}.band{font-size:11px;font-weight:600}
.lane{fill:var(--box)}.grid{stroke:var(--line);stroke-width:1}.good{stroke:var(--good);stroke-width:2.4;fill:none}.bad{stroke:var(--bad);stroke-width:2.8;fill:none}
.fault{fill:var(--fault)}.shade{fill:var(--shade)}circle{fill:var(--soft)}circle.leader,circle.address{fill:var(--fault)}circle.pod{fill:var(--good)}circle.node{fill:var(--bad)}
`;
