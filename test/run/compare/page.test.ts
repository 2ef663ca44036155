import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, type Page, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reportPage } from '../../../src/run/compare/page.ts';
import { comparisonJson } from '../../../src/run/compare/table.ts';
import { comparison } from './comparison.ts';

const executablePath = '/usr/bin/chromium';
const without = existsSync(executablePath) ? '' : ` (skipped: no ${executablePath})`;
const args = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

describe('reportPage', () => {
  it('asks for nothing from outside', async () => {
    const text = await reportPage(comparison());
    expect(text.match(/(?:src|href)="(?!data:image\/png;base64,)[^"]*"/g) ?? []).toEqual([]);
    expect(text).not.toMatch(/https?:/);
    expect(text.match(/<script>/g)).toHaveLength(1);
  });
});

describe('a comparison of methods that reconstruct', () => {
  it('measures against the mean image, and gives the source no score', async () => {
    const text = await reportPage({ ...comparison(), baselines: [{ label: 'mean image', scores: [12, 12, 12].map((PSNR) => ({ PSNR, SSIM: 0.1 })), pictures: comparison().shown.map(({ source }) => source) }] });
    expect(text).toContain('PSNR over<br>mean image<br>');
    expect(text).not.toContain('copy the source');
    expect(text).toMatch(/title="first: source" src="[^"]*"><\/td>/);
  });
});

describe('comparisonJson', () => {
  it('holds the scores of every pair and no pictures', () => {
    const { entries, pairs } = JSON.parse(comparisonJson(comparison())) as { entries: { results: { scores: unknown[]; pictures?: unknown }[] }[]; pairs: unknown[] };
    expect(pairs).toHaveLength(3);
    expect(entries.flatMap(({ results }) => results.map(({ scores, pictures }) => [scores.length, pictures]))).toEqual([[3, undefined], [3, undefined], [3, undefined]]);
  });
});

describe.skipIf(without !== '')(`the report in a browser${without}`, () => {
  let [folder, browser, page] = ['', undefined as unknown as Browser, undefined as unknown as Page];
  const problems: string[] = [];
  const requests: string[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-report-'));
    await writeFile(join(folder, 'report.html'), await reportPage(comparison()));
    browser = await chromium.launch({ executablePath, args });
    page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    page.on('pageerror', ({ message }) => { problems.push(message); });
    page.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
    page.on('request', (request) => { requests.push(request.url()); });
    await page.goto(pathToFileURL(join(folder, 'report.html')).href);
  });
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });
  /** The colour in the middle of what the viewer shows on a side, from the picture itself. */
  const shownOn = (side: 'over' | 'under'): Promise<number[]> => page.evaluate<number[]>(`(async () => {
    const image = document.querySelector('.stage .${side}');
    await image.decode();
    const context = document.createElement('canvas').getContext('2d');
    context.drawImage(image, 0, 0);
    return [...context.getImageData(4, 4, 1, 1).data.slice(0, 3)];
  })()`);

  it('opens from the disk without an error, asks for nothing else and runs nothing of what names hold', async () => {
    expect(problems).toEqual([]);
    expect(requests.filter((url) => !url.startsWith('data:'))).toHaveLength(1);
    expect(await page.evaluate('\'attacked\' in window')).toBe(false);
    expect(await page.locator('#scores tbody tr').count()).toBe(4);
    expect(await page.locator('#scores').innerText()).toContain('<b>bad</b>');
  });

  it('says who is ahead and by how much', async () => {
    expect(await page.locator('.lead').innerText()).toBe('flow (2 steps) has the best PSNR, 21.10 dB: +2.00 dB [+2.00, +2.00] against <b>bad</b> (1 step); +3.00 dB [+3.00, +3.00] against copy the source.');
    expect((await page.locator('.differences').first().innerText()).replace(/\s+/g, ' ')).toContain('<b>bad</b> (1 step) −2.00 [−2.00, −2.00] · +1.00 [+1.00, +1.00]');
  });

  it('draws the curves, and tells what differs between configurations', async () => {
    expect(await page.locator('figure svg').count()).toBe(3);
    expect(await page.locator('figure').first().locator('polyline').count()).toBe(2);
    expect(await page.locator('#config tbody tr').evaluateAll((rows) => rows.map((row) => row.querySelector('code')?.textContent))).toEqual(['network.base', 'flow.from']);
  });

  it('shows two pictures with a border that moves', async () => {
    expect([await shownOn('over'), await shownOn('under')]).toEqual([[255, 0, 0], [0, 255, 0]]);
    const cut = () => page.evaluate('getComputedStyle(document.querySelector(".stage .over")).clipPath');
    await page.locator('[name=cut]').fill('25');
    expect(await cut()).toBe('inset(0px 75% 0px 0px)');
    await page.locator('.stage').scrollIntoViewIfNeeded();
    const box = await page.locator('.stage').boundingBox();
    if (!box) throw new Error('the stage is not drawn');
    await page.mouse.move(box.x + box.width * 0.5, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + 40);
    await page.mouse.up();
    expect(Number(await page.locator('[name=cut]').inputValue())).toBeCloseTo(80, 0);
  });

  it('takes a picture that is clicked, and the keyboard', async () => {
    await page.locator('.grid img[data-pair="1"][data-column="0"]').click();
    expect(await shownOn('over')).toEqual([0, 0, 0]);
    await page.locator('.grid img[data-pair="1"][data-column="4"]').click({ modifiers: ['Shift'] });
    expect(await shownOn('under')).toEqual([255, 255, 255]);
    await page.locator('.grid img[data-pair="0"][data-column="1"]').press('Enter');
    expect(await shownOn('over')).toEqual([0, 255, 0]);
    expect(await page.locator('.tag.left').textContent()).toBe('flow, 1');
  });

  it('follows the system to dark, and fits a phone', async () => {
    const paper = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    expect(await paper()).toBe('rgb(255, 255, 255)');
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await paper()).toBe('rgb(21, 23, 26)');
    await page.setViewportSize({ width: 390, height: 800 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
  });
});
