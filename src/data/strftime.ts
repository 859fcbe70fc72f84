// Python's strftime for one day at midnight, in the C locale.

const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');
const DAY = 86_400_000;

/**
 * @param day YYYY-MM-DD
 * @throws Error for a directive that is not known
 */
export function strftime(day: string, format: string): string {
  const time = Date.parse(`${day}T00:00:00Z`);
  const [year = 0, month = 1, date = 1] = day.split('-').map(Number);
  const weekday = (((Math.floor(time / DAY) + 4) % 7) + 7) % 7;
  const ordinal = (time - Date.parse(`${day.slice(0, 4)}-01-01T00:00:00Z`)) / DAY + 1;
  const two = (value: number) => String(value).padStart(2, '0');
  const monthName = MONTHS[month - 1] ?? '';
  const dayName = DAYS[weekday] ?? '';
  const values: Record<string, string> = {
    ...{ Y: String(year).padStart(4, '0'), y: two(year % 100), m: two(month), d: two(date) },
    ...{ e: String(date).padStart(2, ' '), j: String(ordinal).padStart(3, '0') },
    ...{ B: monthName, b: monthName.slice(0, 3), h: monthName.slice(0, 3), A: dayName, a: dayName.slice(0, 3) },
    ...{
      H: '00',
      M: '00',
      S: '00',
      I: '12',
      p: 'AM',
      f: '000000',
      Z: '',
      z: '',
      w: String(weekday),
      u: String(weekday || 7),
    },
    ...{ F: `${day}`, T: '00:00:00', R: '00:00', D: `${two(month)}/${two(date)}/${two(year % 100)}` },
    ...{ x: `${two(month)}/${two(date)}/${two(year % 100)}`, X: '00:00:00' },
    c: `${dayName.slice(0, 3)} ${monthName.slice(0, 3)} ${String(date).padStart(2, ' ')} 00:00:00 ${year}`,
    '%': '%',
  };
  // glibc's `-` leaves the padding out.
  return format.replace(/%(-?)(.)/gs, (directive, bare: string, letter: string) => {
    const value = values[letter];
    if (value === undefined) throw new Error(`strftime_now: unknown directive ${directive}`);
    return bare === '' ? value : value.replace(/^[0 ]+(?=.)/, '');
  });
}
