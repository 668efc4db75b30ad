-- html: sanitize_html() leaves nothing of a carrier's HTML but text, links and simple markup.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
\pset format unaligned
SET search_path = public, canopy_summit;

-- What the whole file has sanitized.
CREATE TEMP TABLE tried (html text, clean text);
CREATE FUNCTION pg_temp.try(html text) RETURNS text LANGUAGE sql
	AS $$ INSERT INTO tried VALUES (html, sanitize_html(html)) RETURNING clean $$;

-- What exactly becomes of broken HTML is the parser's: that of libxml2 before 2.14 is known here. What any
-- parser must not change comes below, and is asked of all that was tried.
SELECT sanitize_html('a</>b') = 'a&gt;b' AS is_known \gset

SELECT provolatile, proisstrict, proparallel, obj_description(oid) FROM pg_proc WHERE proname = 'sanitize_html';
SELECT sanitize_html(NULL) IS NULL AS null_stays, sanitize_html('') = '' AS empty_stays;

-- A message as a carrier writes it.
SELECT pg_temp.try('Your account is locked. <a class="btn" style="color:red" target="_blank" onclick="track()" href="https://www.carrier.example/unlock?a=1&amp;b=2">Unlock it</a> or call <a href="tel:+1-800-555-0100">1-800-555-0100</a>.<br>Thank you!');

\if :is_known
\else
\o /dev/null
\endif

-- Text stays what it is, with what means something in HTML escaped.
SELECT html, pg_temp.try(html) FROM unnest(ARRAY[
	'no markup', '  blanks   stay  ', 'a & b', 'a < b and b > c', 'x<3', '1 <2', 'Ben & "Jerry''s"', '&', '&amp;', '&amp;amp;', '&lt;b&gt;',
	'&copy; &eacute; &#233; &#xe9; &#x1F600;', '&nosuchname; &amp', '&#60;script&#62;', 'größe ✓ 日本語 😀', 'العربية', '<', '>', '<>', '< b>',
	'a <- b', '&#1;&#127;&#xfffe;&#xd800;&#x110000;.', '</nothing>']) AS html;
SELECT pg_temp.try(E'tab\tand\r\nline, but no \x01\x1b[31mcontrols\x7f\u0085\u009b') = E'tab\tand\nline, but no [31mcontrols' AS controls_go;

-- Simple markup stays, without attributes; what is missing is added, what is broken is dropped.
SELECT html, pg_temp.try(html) FROM unnest(ARRAY[
	'<b>b</b><strong>s</strong><i>i</i><em>e</em><u>u</u><code>c</code>', 'a<br>b<br/>c<BR />d</br>e', '<B CLASS=x ID=y onclick="alert(1)">b</B>',
	'<p>one<p>two</p>', '<p align=center>x</p>', '<ul><li>a<li>b<ol><li>c</ol></ul>', '<ul>a<b>b</b></ul>', '<li>alone', '<ol></ol>', '<p></p>',
	'<b>not closed', '<b><i>crossed</b></i>', 'x</b></p></i>', '<b><b><b>x</b></b></b>', '<b', '<b x', '<b x="', '<b x=''>y', '</b', '<b/>x', '<b/onclick=alert(1)>x',
	'<b><p>x</p></b>', '<em>a<p>b</em>c', '<em><ul><li>x</em>', '<a href="tel:1">a<a href="tel:2">b</a>c</a>', '<a href="tel:1"><b><a href="tel:2">b</a></b>c</a>']) AS html;

-- Of other elements the content stays, on lines of its own if it was a block.
SELECT html, pg_temp.try(html) FROM unnest(ARRAY[
	'<span class=x>a</span><font color=red>b</font><blink>c</blink><nosuch-element>d</nosuch-element>', '<div>a</div><div>b</div>c', '<div><div>a</div></div>',
	'<h1>Title</h1>text', 'a<hr>b', 'a<hr><hr>', '<table><tr><td>1</td><td>2</td></tr></table>3', '<div>a</div><br><div>b</div>',
	'a<img src=x onerror=alert(1)>b', 'a<input value=x autofocus onfocus=alert(1)>b', '<form action="https://evil.example/"><button>b</button></form>',
	'<embed src="https://evil.example/x.swf">a', '<base href="https://evil.example/">a', '<link rel=stylesheet href=x>a', '<meta http-equiv=refresh content="0;url=https://evil.example/">a',
	'<marquee onstart=alert(1)>x</marquee>', '<details open ontoggle=alert(1)>x</details>', '<body onload=alert(1)>x</body>', 'a</body></html>b', '<html><head></head><body>x</body></html>',
	'<x:y z:w="v">x</x:y>', '<meta charset="utf-7">+ADw-script+AD4- é']) AS html;

-- Of some the content is not for reading.
SELECT html, pg_temp.try(html) FROM unnest(ARRAY[
	'a<script>alert(1)</script>b', 'a<SCRIPT SRC="https://evil.example/x.js"></SCRIPT>b', 'a<style>b{}</style>c', 'a<iframe src="https://evil.example/">b</iframe>c', 'a<object data=x>b</object>c',
	'a<svg onload=alert(1)><text>b</text></svg>c', 'a<math><mi>b</mi></math>c', 'a<template><b>b</b></template>c', 'a<noscript><b>b</b></noscript>c', 'a<textarea>b</textarea>c', 'a<title>b</title>c',
	'a<select><option>b</option></select>c', 'a<audio src=x>b</audio><video src=x>b</video>c', 'a<xmp>b</xmp>c', 'a<noembed>b</noembed><noframes>b</noframes>c', 'a<plaintext>b', 'a<script>b', 'a<script>b<b>c</b>', 'a<svg>b',
	'a<!-- b -->c', 'a<!-- b', 'a<!-- <b>b</b> --!>', 'a<!--[if IE]><b>b</b><![endif]-->c', 'a<![if IE]>b<![endif]>c', 'a<?php b ?>c', 'a<?xml version="1.0"?>b', 'a<![CDATA[<b>b</b>]]>c', 'a<![CDATA[b', 'a<!b>c', 'a<!',
	'<!DOCTYPE html>a', '<!DOCTYPE x SYSTEM "file:///etc/passwd">a', '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>&e;a']) AS html;

-- Links lead to four schemes.
SELECT target, pg_temp.try('<a href="' || target || '">x</a>') FROM unnest(ARRAY[
	'http://a.example', 'https://a.example/', 'HTTPS://A.example/B', 'hTtP://a.example', 'https://a.example:8443/p?q=1&amp;r=2#f', 'https://[2001:db8::1]/', 'https://192.0.2.1/',
	'mailto:help@carrier.example', 'MAILTO:help@carrier.example?subject=Log%20in', 'tel:+18005550100', '  https://a.example/  ', 'ht&#9;tps://a.ex&#10;ample/', '&#104;ttps&#x3a;//a.example/', 'https://a.example/a b''c&lt;d&gt;e&quot;f`g{h}',
	'https://a.example/größe', 'https://größe.example/', 'https://a.example/&copy', 'https://a.example/?next=javascript:alert(1)', 'https://a.example/@b', 'https://a.example/#//b', 'https&colon;//a.example/']) AS target;

\o

-- Nowhere else: the text stays, and is all that does.
SELECT count(*), array_agg(target) FILTER (WHERE clean <> 'x') AS wrong FROM (SELECT target, pg_temp.try('<a href="' || target || '">x</a>') AS clean FROM unnest(ARRAY[
	'javascript:alert(1)', 'JAVASCRIPT:alert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)', E'\tjavascript:alert(1)', E'java\tscript:alert(1)', E'java\nscript:alert(1)', E'java\r\nscript:alert(1)', E'\x01javascript:alert(1)', E'\x1b\x7fjavascript:alert(1)',
	'java script:alert(1)', 'javascript :alert(1)', '&#106;avascript:alert(1)', '&#x6a;avascript:alert(1)', '&#X6A;avascript:alert(1)', '&#0000106avascript:alert(1)', '&#x6Aavascript:alert(1)', 'java&#9;script:alert(1)', 'java&#x0A;script:alert(1)', 'java&Tab;script:alert(1)', 'java&NewLine;script:alert(1)',
	'java&#0;script:alert(1)', '&#0;javascript:alert(1)', '&#1;javascript:alert(1)', '&#14; javascript:alert(1)', 'javascript&colon;alert(1)', 'javascript&#58;alert(1)', 'javascript&#x3A;alert(1)', 'javascript%3Aalert(1)', '%6aavascript:alert(1)', '\u006aavascript:alert(1)', '&amp;#106;avascript:alert(1)',
	U&'\00A0javascript:alert(1)', U&'\2028javascript:alert(1)', U&'\FEFFjavascript:alert(1)', U&'\0085javascript:alert(1)', U&'\FF4Aavascript:alert(1)', U&'java\017Fcript:alert(1)', U&'\200Bjavascript:alert(1)', U&'java\00ADscript:alert(1)',
	'javascript://https://a.example/%0aalert(1)', 'https:javascript:alert(1)', 'vbscript:msgbox(1)', 'livescript:x', 'data:text/html,<script>alert(1)</script>', 'data:text/html;base64,PHNjcmlwdD4=', 'DATA:,x', 'blob:https://a.example/x', 'file:///etc/passwd', 'ftp://a.example/',
	'feed:javascript:alert(1)', 'view-source:https://a.example/', 'jar:x', 'about:blank', 'ws://a.example/', 'sms:+1', 'intent://x#Intent;end', 'x-https://a.example/',
	'', ' ', '#', '#top', '?q', '/login', 'login.html', '../x', '.', '//evil.example/', '/\evil.example/', '\\evil.example/', '///evil.example/', ':', '://a.example/', 'http', 'http:', 'http:/', 'http://', 'https:a.example', 'https:/a.example', 'https:///a.example', 'https:\\a.example', 'https://?a', 'https://#a', 'https://:80/',
	'https://carrier.example@evil.example/', 'https://carrier.example:443@evil.example/', 'https://carrier.example\@evil.example/', 'mailto:', 'tel:', 'https://a.example/' || repeat('a', 2048)]) AS target) AS refused;
\if :is_known
\else
\o /dev/null
\endif
SELECT html, pg_temp.try(html) FROM unnest(ARRAY[
	'<a>x</a>', '<a href>x</a>', '<a name="n" id="i">x</a>', '<a href=https://a.example/>x</a>', '<a href=''https://a.example/?a="b"''>x</a>', '<a HREF="https://a.example/">x</a>', '<a href="https://a.example/" href="javascript:alert(1)">x</a>',
	'<a href="javascript:alert(1)" href="https://a.example/">x</a>', '<a xlink:href="https://a.example/">x</a>', '<a href="https://a.example/" rel="opener" target="_top" ping="https://b.example/" download>x</a>',
	'<a href="https://a.example/" onmouseover=alert(1)//>x</a>', '<a href="https://a.example/"onclick="alert(1)">x</a>', '<a href="https://a.example/&quot; onclick=&quot;alert(1)">x</a>', '<a href="https://a.example/"', '<a href="https://a.example/', '<a href="https://a.example/">', '<area href="https://a.example/">x']) AS html;

-- Classics: what one parser takes for text, another takes for a tag.
SELECT html, pg_temp.try(html) FROM unnest(ARRAY[
	'<<script>alert(1)</script>', '<scr<script>ipt>alert(1)</scr</script>ipt>', '<script<b>>alert(1)</script>', '<scr<!-- x -->ipt>alert(1)</script>', '<script/x>alert(1)</script/x>', '<ſcript>alert(1)</ſcript>', '&lt;script&gt;alert(1)&lt;/script&gt;', '&amp;lt;script&amp;gt;',
	'<noscript><p title="</noscript><img src=x onerror=alert(1)>">', '<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">', '<svg><style><img src=x onerror=alert(1)></style></svg>', '<svg><![CDATA[</svg><img src=x onerror=alert(1)>]]></svg>', '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
	'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">', '<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>', '<math><annotation-xml encoding="text/html"><style><img src=x onerror=alert(1)></style></annotation-xml></math>',
	'<template><style></template><img src=x onerror=alert(1)></style>', '<textarea><img title="</textarea><img src=x onerror=alert(1)>"></textarea>', '<title><img title="</title><img src=x onerror=alert(1)>"></title>', '<style><style/><img src=x onerror=alert(1)>', '<!--><img src=x onerror=alert(1)>-->', '<!-- --!><img src=x onerror=alert(1)> -->',
	'<![CDATA[><img src=x onerror=alert(1)>]]>', '<?><img src=x onerror=alert(1)>?>', '<a href="https://a.example/" title="><script>alert(1)</script>">x</a>', '<b title=''"><script>alert(1)</script>''>x</b>', '<img src="x` `<script>alert(1)</script>"` `>', '<p style="x:expression(alert(1))">x</p>', '<b id="body" name="cookie">x</b>',
	'<select><iframe></select><img src=x onerror=alert(1)>', '<table><a href="javascript:alert(1)">x<td>y', '<isindex action="javascript:alert(1)" type=image>', '<svg/onload=alert(1)>', '<img/src=x/onerror=alert(1)>']) AS html;

\o

-- Neither depth nor size is without bounds. The limit is 16 kB, read and written; a mark says that something is missing.
SELECT pg_temp.try(repeat('<b>', 100000) || 'x'), pg_temp.try(repeat('<div>', 100000) || 'x'), pg_temp.try(repeat('<b><i>', 1000) || 'x' || repeat('</i></b>', 1000)), pg_temp.try(repeat('</b>', 100000) || 'x');
SELECT pg_temp.try(repeat('<ul><li>', 12) || 'x');
SELECT n, length(pg_temp.try(repeat('x', n))), right(sanitize_html(repeat('x', n)), 3) FROM unnest(ARRAY[16381, 16382, 16384, 16385, 1000000]) AS n;
SELECT c, octet_length(clean), right(clean, 8) FROM (SELECT c, pg_temp.try(repeat(c, 20000)) AS clean FROM unnest(ARRAY['&', '"', 'é', 'x日', '😀', '<b>b</b>', '<p>p', '<br>', '<div>d</div>', '<!---->', '<script>']) AS c) AS cut;
SELECT octet_length(clean), right(clean, 24) FROM (SELECT pg_temp.try('<ul><li><b>' || repeat('<a href="https://a.example/">l</a> ', 1000)) AS clean) AS cut;
SELECT pg_temp.try(repeat('x', 16380) || '<script>' || repeat('y', 100)) = repeat('x', 16380) || '…' AS cut_in_a_tag, right(pg_temp.try(repeat('x', 16383) || 'é'), 2), right(pg_temp.try(repeat('x', 16382) || '<b>'), 2);

-- What is no character goes, whether it was written or referred to.
SELECT pg_temp.try(U&'a\FFFEb\FFFFc\FDD0d\FDEFe\+01FFFEf\+10FFFFg') = 'abcdefg' AS written, pg_temp.try(U&'\FDCF\FDF0\FFFD\+01FFFD') = U&'\FDCF\FDF0\FFFD\+01FFFD' AS neighbours_stay,
	pg_temp.try('a&#xfffe;b&#xffff;c&#xfdd0;d&#xfdef;e&#x1fffe;f&#x10ffff;g') = 'abcdefg' AS referred_to;

-- Sanitizing again changes nothing, neither of what is above nor of what a machine makes up.
SELECT setseed(0.5);
INSERT INTO tried SELECT html, sanitize_html(html) FROM (
	SELECT string_agg((ARRAY['<b>', '</b>', '<i>', '</i>', '<a href="https://a.example/?a&b">', '<a href=javascript:x>', '</a>', '<p>', '</p>', '<ul>', '</ul>', '<li>', '</li>', '<ol>', '<br>', '<div>', '</div>', '<td>', '<table>', '</table>',
		'<svg>', '</svg>', '<style>', '</style>', '<script>', '</script>', '<!--', '-->', '<![CDATA[', ']]>', '<!x>', '<', '>', '"', '''', '&', '&lt;', '&#60;', '&amp;lt;', '=', '/', ' ', E'\n', 'text', 'é', '</body>', '<html>', '<title>', '</title>', '<h1>', '<x'])[1 + floor(random() * 51)], '') AS html
	FROM generate_series(1, 2000) AS n, generate_series(1, 20) AS part GROUP BY n) AS made;
SELECT count(*) > 2200 AS many, count(*) FILTER (WHERE sanitize_html(clean) IS DISTINCT FROM clean) AS changed FROM tried;
-- Nor is there another tag or attribute in any of it, and what is left is well formed.
SELECT DISTINCT tag[1] FROM tried, regexp_matches(regexp_replace(clean, '<a href="(https?://|mailto:|tel:)[!#-;=?-~]+" rel="noopener noreferrer nofollow">', '<a>', 'g'), '<[^>]*>?', 'g') AS tag ORDER BY 1;
SELECT clean FROM tried WHERE regexp_replace(clean, '<[^>]*>', '', 'g') ~ '[<>"'']|&(?!(amp|lt|gt|quot|#39);)';
SELECT count(*) FROM tried WHERE NOT xml_is_well_formed_content(clean);

-- libxml2 is PostgreSQL's too: an error in the one's HTML is none in the other's XML.
SELECT a FROM (SELECT html FROM tried WHERE html = '<b x="' LIMIT 1) AS t,
	xmltable('/r/v' PASSING '<r><v/><v/><v a="1"/></r>' COLUMNS a text PATH '@a' DEFAULT sanitize_html(html));
\set VERBOSITY sqlstate
SELECT xml '<a>not closed';
SELECT sanitize_html('<b>after an error'), xml_is_well_formed_content('<b>');

DROP EXTENSION canopy_summit CASCADE;
