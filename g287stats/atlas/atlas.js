(function () {
'use strict';
var D = JSON.parse(document.getElementById('data').textContent), $ = function (i) { return document.getElementById(i); };
document.documentElement.classList.remove('no-js');
var map = $('map'), paths = [].slice.call($('cs').children), slider = $('slider'), N = D.months.length - 1;
var dots = {}, states = {}, by = {}, index = {}, last = [], lastDot = {}, pinned = -1, timer = 0;
[].forEach.call(map.querySelectorAll('circle'), function (c) { dots[c.getAttribute('data-i')] = c; });
[].forEach.call(map.querySelectorAll('.st'), function (p) { states[p.getAttribute('data-s')] = p; });
paths.forEach(function (p, i) { p.no = i; });
D.names = D.names.map(function (n) { return n.replace('_', ' County'); });
D.state = D.fips.map(function (f) { return D.usps[f.slice(0, 2)]; });
D.spells.forEach(function (s) { s[5].forEach(function (c) { (by[c] = by[c] || []).push(s); }); });
D.names.forEach(function (n, i) { index[(n + ', ' + D.state[i]).toLowerCase()] = i; });
var WORDS = D.words, BIT = [1, 2, 4], names = ['warrant service', 'jail enforcement', 'task force'];
function kind(b) { return b & 4 ? (b & 3 ? 4 : 3) : b & 2 ? 2 : b & 1; }
function num(n) { return n.toLocaleString('en-US'); }
function state() { return { m: +slider.value, model: $('model').value, level: $('level').value, basis: $('basis').value }; }
function live(s, v) {
  if (v.model !== '' && s[1] !== +v.model || v.level !== '' && s[2] !== +v.level) return false;
  if (v.basis === 'signed') return !s[6] && s[3] <= v.m && v.m < s[4];
  for (var k = 0; k < s[7].length; k += 2) if (s[7][k] <= v.m && v.m <= s[7][k + 1]) return true;
  return false;
}
function draw() {
  var v = state(), bits = new Uint8Array(paths.length), towns = new Uint8Array(paths.length), st = {}, n = [0, 0, 0], total = 0, i;
  var known = v.basis === 'signed' || v.m >= D.firstListed;
  if (known) D.spells.forEach(function (s) {
    if (!live(s, v)) return;
    total++; n[s[1]]++;
    if (s[2] === 2) { st[s[8]] = 1; return; }
    s[5].forEach(function (c) { if (s[2] === 0) bits[c] |= BIT[s[1]]; else towns[c] |= BIT[s[1]]; });
  });
  var count = [0, 0, 0, 0, 0], dotted = 0, statewide = Object.keys(st).length;
  for (i = 0; i < paths.length; i++) {
    var k = kind(bits[i]), d = k === 0 && towns[i] ? kind(towns[i]) : 0;
    if (last[i] !== k) { paths[i].setAttribute('class', 'k' + k); last[i] = k; }
    if (dots[i] && lastDot[i] !== d) { dots[i].setAttribute('class', d ? 'on k' + d : 'k0'); lastDot[i] = d; }
    if (d) dotted++; else count[k]++;
  }
  for (var s in states) states[s].setAttribute('class', st[s] ? 'st on' : 'st');
  for (i = 0; i < 5; i++) $('n' + i).textContent = num(count[i]);
  $('nd').textContent = num(dotted); $('ns').textContent = num(statewide);
  var month = D.months[v.m], parts = num(n[2]) + ' ' + names[2] + ', ' + num(n[1]) + ' ' + names[1] + ', ' + num(n[0]) + ' ' + names[0];
  var shown = num(total) + (total === 1 ? ' agreement' : ' agreements');
  var filtered = v.model !== '' || v.level !== '' ? ' Filtered: ' + ['model', 'level'].map(function (f) { var o = $(f); return o.value === '' ? '' : o.options[o.selectedIndex].text; }).filter(Boolean).join(', ') + '.' : '';
  $('month').textContent = month;
  $('say').textContent = !known ? month + ': no list in hand before ' + D.firstList + '; choose "signed".' :
    v.basis === 'signed' ? month + ': ' + shown + ' signed and not ended (' + parts + ') in the record.' + filtered :
    month + ': ' + shown + ' on ICE’s list of ' + D.lists[v.m - D.firstListed] + ' (' + parts + ').' + filtered;
  slider.setAttribute('aria-valuetext', month + ': ' + (known ? shown : 'no list in hand'));
  $('pin').style.left = 100 * v.m / N + '%';
  if (pinned >= 0) card(pinned);
  var h = '#m=' + D.keys[v.m] + (v.model === '' ? '' : '&model=' + v.model) + (v.level === '' ? '' : '&level=' + v.level) + (v.basis === 'signed' ? '' : '&basis=listed') + (pinned >= 0 ? '&c=' + D.fips[pinned] : '');
  if (v.m === N && h === '#m=' + D.keys[N]) h = '';
  try { history.replaceState(null, '', h || location.pathname + location.search); } catch (x) { /* some browsers refuse this for files */ }
}
function lines(i) {
  var v = state();
  return (by[i] || []).filter(function (s) { return live(s, v); }).map(function (s) { return D.agencies[s[0]] + ', ' + names[s[1]]; });
}
function words(i) { var d = lastDot[i]; return d ? 'towns only: ' + WORDS[d] : WORDS[last[i] || 0]; }
function title(i) { return D.names[i] + ', ' + D.state[i]; }
function card(i) {
  pinned = i;
  var box = $('card'), list = lines(i), ul = document.createElement('ul'), b = document.createElement('b'), p = document.createElement('div'), x = document.createElement('button');
  box.textContent = ''; box.hidden = false;
  x.type = 'button'; x.textContent = 'Close'; x.onclick = function () { pinned = -1; box.hidden = true; draw(); };
  b.textContent = title(i); p.textContent = D.months[+slider.value] + ': ' + words(i) + '.';
  list.slice(0, 8).forEach(function (t) { var li = document.createElement('li'); li.textContent = t; ul.appendChild(li); });
  if (list.length > 8) { var m = document.createElement('li'); m.textContent = 'and ' + (list.length - 8) + ' more'; ul.appendChild(m); }
  box.appendChild(x); box.appendChild(b); box.appendChild(p); if (list.length) box.appendChild(ul);
  if (D.pages[i] === '1') { var a = document.createElement('a'); a.href = 'counties/' + D.fips[i] + '.html'; a.textContent = 'Page of ' + D.names[i]; box.appendChild(a); }
  else { var t = document.createElement('div'); t.className = 'note'; t.textContent = 'No agreement or application in the record, so no page in this atlas.'; box.appendChild(t); }
}
var tip = $('tip'), hot = null;
map.addEventListener('pointermove', function (e) {
  var p = e.target.no === undefined ? null : e.target;
  if (hot && hot !== p) { hot.style.stroke = ''; hot.style.strokeWidth = ''; hot = null; }
  if (!p || e.pointerType === 'touch') { tip.hidden = true; return; }
  hot = p; p.style.stroke = '#000'; p.style.strokeWidth = '2';
  var i = p.no, box = map.parentNode.getBoundingClientRect(), n = lines(i).length;
  tip.textContent = title(i) + ': ' + words(i) + (n > 1 ? ' (' + n + ' agreements)' : '');
  tip.hidden = false;
  tip.style.left = Math.min(e.clientX - box.left + 14, box.width - 200) + 'px'; tip.style.top = e.clientY - box.top + 16 + 'px';
});
map.addEventListener('pointerleave', function () { tip.hidden = true; if (hot) { hot.style.stroke = ''; hot.style.strokeWidth = ''; hot = null; } });
map.addEventListener('click', function (e) { if (e.target.no !== undefined) { card(e.target.no); draw(); } });
function stop() { clearInterval(timer); timer = 0; $('play').textContent = 'Play from 2025'; }
$('play').onclick = function () {
  if (timer) { stop(); return; }
  slider.value = D.keys.indexOf('2025-01'); draw(); this.textContent = 'Pause';
  timer = setInterval(function () { if (+slider.value >= N) { stop(); return; } slider.value = +slider.value + 1; draw(); }, 350);
};
slider.addEventListener('input', function () { stop(); draw(); });
slider.addEventListener('keydown', function (e) {
  var step = { PageUp: 12, PageDown: -12 }[e.key];
  if (step) { e.preventDefault(); stop(); slider.value = Math.max(0, Math.min(N, +slider.value + step)); draw(); }
});
['model', 'level', 'basis'].forEach(function (f) { $(f).addEventListener('change', function () { stop(); draw(); }); });
$('county').addEventListener('focus', function () {
  if ($('names').childNodes.length) return;
  var all = document.createDocumentFragment();
  D.names.forEach(function (n, i) { var o = document.createElement('option'); o.value = n + ', ' + D.state[i]; all.appendChild(o); });
  $('names').appendChild(all);
});
$('find').addEventListener('submit', function (e) {
  e.preventDefault();
  var q = $('county').value.trim().toLowerCase(), i = index[q];
  if (i === undefined) {
    var near = Object.keys(index).filter(function (k) { return k.replace(/ (county|parish|borough)/, '').indexOf(q.replace(/ (county|parish|borough)/, '')) === 0; });
    if (near.length === 1) i = index[near[0]];
    else { $('found').textContent = near.length ? near.length + ' counties begin so: ' + near.slice(0, 5).map(function (k) { return title(index[k]); }).join('; ') : 'No county is called so.'; return; }
  }
  $('found').textContent = '';
  if (D.pages[i] === '1') location.href = 'counties/' + D.fips[i] + '.html'; else { card(i); draw(); }
});
var grid = $('states-table');
[].forEach.call(grid.querySelectorAll('thead th'), function (th, j) {
  var b = document.createElement('button'); b.type = 'button'; b.textContent = th.textContent; th.textContent = ''; th.appendChild(b);
  b.onclick = function () {
    var up = th.getAttribute('aria-sort') === 'descending', body = grid.tBodies[0], rows = [].slice.call(body.rows);
    [].forEach.call(grid.querySelectorAll('th[aria-sort]'), function (o) { o.removeAttribute('aria-sort'); });
    th.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    var key = function (r) { var c = r.cells[j], v = c.getAttribute('data-v') || c.textContent.replace(/,/g, ''); return v !== '' && !isNaN(v) ? +v : v; };
    rows.sort(function (a, c) { var x = key(a), y = key(c), d = typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === 'number' ? -1 : 1; return up ? d : -d; });
    rows.forEach(function (r) { body.appendChild(r); });
  };
});
function read() {
  var q = {}; location.hash.slice(1).split('&').forEach(function (p) { var k = p.split('='); q[k[0]] = k[1]; });
  if (q.m && D.keys.indexOf(q.m) >= 0) slider.value = D.keys.indexOf(q.m);
  if (q.model && names[q.model]) $('model').value = q.model;
  if (q.level && /^[012]$/.test(q.level)) $('level').value = q.level;
  if (q.basis === 'listed') $('basis').value = 'listed';
  if (q.c && D.fips.indexOf(q.c) >= 0) pinned = D.fips.indexOf(q.c);
}
window.addEventListener('hashchange', function () { read(); draw(); });
read(); draw();
})();
