"""`wherry report`: the page of a real migration, laid out by a browser."""
import itertools
import json
import os
import re
import subprocess
import unittest
from pathlib import Path

from lab import Pair, says, scratch, wherry_binary

TEXT = '</title><script>alert(1)</script><img src=x onerror=alert(1)>'
# In every report. The other charts need a sender with a monitor.
CHARTS = {'Goodput', 'Ratio so far', 'In flight', 'Link rate, measured', 'Downtime, predicted'}
MORE = {'remaining': 5e6, 'dirty_rate': 2.5e6, 'throttle': 20, 'predicted_ms': 800}
EXTREME = {'predicted_ms': 327_907_000, 'ratio': 250_000, 'remaining': 5e14}
MEASURE = '''
const rect = element => { const r = element.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
const rects = (parent, what) => [...parent.querySelectorAll(what)].map(rect);
const said = document.createElement('pre');
said.textContent = JSON.stringify({
  width: innerWidth, needed: document.documentElement.scrollWidth, scripts: document.scripts.length,
  images: document.images.length, text: document.body.innerText, background: getComputedStyle(document.body).backgroundColor,
  charts: [...document.querySelectorAll('figure')].map(figure => ({
    title: figure.querySelector('figcaption').firstChild.textContent, figure: rect(figure),
    picture: rect(figure.querySelector('svg')), axis: rect(figure.querySelector('.axis')), line: rects(figure, '.line'),
    texts: rects(figure, 'svg text'), values: rects(figure, '.mark.value'), times: rects(figure, '.mark.time')}))});
said.id = 'measured';
document.body.append(said);
'''


def apart(rects):
    return all(a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1
               for a, b in itertools.combinations(rects, 2))


def inside(inner, outer):
    return all(i >= o - 1 for i, o in zip(inner[:2], outer[:2])) and all(i <= o + 1 for i, o in zip(inner[2:], outer[2:]))


class Look(unittest.TestCase):
    def setUp(self):
        self.directory = Path(scratch())

    def wherry(self, *arguments):
        return subprocess.run([wherry_binary(), *arguments], capture_output=True, text=True, timeout=10)

    def page(self, report):
        file, page = self.directory / 'report.json', self.directory / 'page.html'
        file.write_text(json.dumps(report))
        done = self.wherry('report', file, '-o', page)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))
        return page.read_text()

    def measure(self, page, width, dark=False):
        """The layout of the page in a browser; the page's policy is changed to allow the measuring script."""
        page, policies = re.subn("(?<=default-src 'none'; )", "script-src 'nonce-ours'; ", page)
        self.assertEqual(policies, 1)
        file = self.directory / 'measured.html'
        file.write_text(page.replace('</body>', f'<script nonce="ours">{MEASURE}</script></body>'))
        done = subprocess.run(
            ['chromium-headless-shell', '--no-sandbox', '--disable-gpu', f'--user-data-dir={self.directory}/browser',
             '--enable-logging=stderr', f'--window-size={width},900', '--dump-dom',
             f'--blink-settings=preferredColorScheme={0 if dark else 1}', f'file://{file}'],
            capture_output=True, text=True, timeout=60, env={**os.environ, 'HOME': self.directory})
        self.assertNotIn('CONSOLE', done.stderr)  # for example a violation of the policy
        measured = re.search('<pre id="measured">(.*?)</pre>', done.stdout, re.DOTALL)
        self.assertTrue(measured, done)
        return json.loads(measured[1].replace('&lt;', '<').replace('&gt;', '>').replace('&amp;', '&'))

    def check_layout(self, seen):
        self.assertLessEqual(seen['needed'], seen['width'])
        self.assertTrue(apart([chart['figure'] for chart in seen['charts']]))
        for chart in seen['charts']:
            with self.subTest(chart['title']):
                left, top, right, bottom = chart['picture']
                self.assertGreater(right - left, 250)
                self.assertTrue(0.3 < (bottom - top) / (right - left) < 0.7)
                self.assertTrue(inside(chart['picture'], chart['figure']))
                for text in chart['texts']:
                    self.assertTrue(inside(text, chart['picture']), (text, chart))
                self.assertTrue(len(chart['values']) >= 3 and apart(chart['values']), chart)
                self.assertTrue(all(value[2] < chart['axis'][0] for value in chart['values']), chart)
                self.assertTrue(len(chart['times']) >= 3 and apart(chart['times']), chart)
                for line in chart['line']:
                    self.assertTrue(inside(line, [chart['axis'][0], top, chart['axis'][2], chart['axis'][3]]), chart)
                    self.assertGreater(line[2] - line[0], (chart['axis'][2] - chart['axis'][0]) / 4)

    def test_page_of_a_migration(self):
        with Pair(rate='80mbit', sender_qmp=True) as pair:
            pair.migrate_and_hold(passes=4)
            report, _ = pair.complete()
        self.assertGreater(len(report['timeline']), 5)
        # What lands in the first moment is the stream's header, which is not a rate of pages.
        self.assertLess(max(point.get('predicted_ms', 0) for point in report['timeline']), 60_000)
        seen = self.measure(self.page(report), 1280)
        titles = {chart['title'] for chart in seen['charts']}
        self.assertLessEqual(CHARTS, titles)
        self.assertTrue(all(chart['line'] for chart in seen['charts'] if chart['title'] != 'Downtime, predicted'))
        self.check_layout(seen)
        says(self, seen['text'], 'Migration completed', report['uri'], report['lanes'][0]['peer'], f"{report['total_s']:.2f} s")

        # The same with all members that a report can have, and with hostile text.
        report.update(status='failed', error=TEXT, target_ms=100, opaque={TEXT: TEXT}, throttle={'peak_percent': 40},
                      downtime={'predicted': {'total': 80}, 'measured': {'total': 90}}, messages=[{'t': 0.5, 'text': TEXT}])
        for point in report['timeline']:
            point.update(MORE)
        report['timeline'][1].update(EXTREME)
        page = self.page(report)
        light, narrow, dark = self.measure(page, 1280), self.measure(page, 390), self.measure(page, 1280, dark=True)
        for seen in (light, narrow, dark):
            self.assertEqual(len(seen['charts']), 8)
            self.check_layout(seen)
            self.assertEqual((seen['scripts'], seen['images']), (1, 0))
            self.assertEqual(seen['text'].count(TEXT), 4)
        self.assertEqual(light['background'], narrow['background'])
        self.assertNotEqual(light['background'], dark['background'])

    def test_the_page_goes_to_standard_output(self):
        report = {'status': 'running', 'role': 'source'}
        page = self.page(report)
        self.assertEqual(self.wherry('report', self.directory / 'report.json').stdout, page)

    def test_what_cannot_be_read_or_written(self):
        (self.directory / 'wrong').write_text('{"status": "completed", "role": "source", "total_s": "long"}')
        (self.directory / 'none').write_text('no JSON')
        (self.directory / 'right').write_text('{"status": "completed", "role": "source"}')
        for arguments, parts in ((['wrong'], ('wrong: ', 'total_s: ', 'a number', 'string')), (['none'], ('none: ', 'JSON')),
                                 (['absent'], ('absent: ', 'No such file')), (['.'], ('Is a directory',)),
                                 (['right', '-o', '/nonexistent/page'], ('/nonexistent/page: ', 'No such file')),
                                 (['right', '-o', '/dev/full'], ('/dev/full: ', 'No space left'))):
            with self.subTest(arguments):
                done = subprocess.run([wherry_binary(), 'report', *arguments], cwd=self.directory, capture_output=True,
                                      text=True, timeout=10)
                self.assertEqual((done.returncode, done.stdout), (1, ''))
                says(self, done.stderr, *parts)

    def test_nothing_to_watch(self):
        done = self.wherry('watch', '--runtime-dir', self.directory)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        says(self, done.stderr, 'does wherryd run')


if __name__ == '__main__':
    unittest.main()
